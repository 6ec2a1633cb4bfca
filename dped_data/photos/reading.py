"""Read photos. The one place that knows orientation, colour space, bit depth and range.

Everything that leaves `read_photo` is (H, W, 3) uint8, RGB, sRGB, upright. Where colours of more than 8 bits are
converted, that is done before they become 8: light of 16 bits would be 13 levels off in the dark.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from dped_data.errors import PhotoError
from dped_data.photos.bounds import (
    CLAIMS_TOO_MUCH,
    TOO_LARGE,
    check_all_chunks,
    check_expansion,
    check_scans,
    check_segments,
    check_size,
    check_strips,
    check_tiles,
    fault_when_opening,
)
from dped_data.photos.damage import (
    DEFLATED,
    JPEG_PARTS,
    PLAIN,
    RUN_LENGTHS,
    check_deflated,
    check_png,
    check_zeros,
    jpegs_of,
)
from dped_data.photos.decoding import complaints, decoding
from dped_data.photos.exif import capture_time, orientation_of, read_exif
from dped_data.photos.files import open_photo_file, read_bytes
from dped_data.photos.formats import PhotoHeader
from dped_data.photos.heif import check_heif
from dped_data.photos.jpeg_breaks import breaks_off
from dped_data.photos.jpeg_segments import has_zeroed_part, without_harmless_faults
from dped_data.photos.png_colour import png_colours
from dped_data.photos.raw import decode_raw, is_raw, raw_header
from dped_data.photos.sixteen_bits import has_16_bits, in_16_bits
from dped_data.photos.stated_colours import (
    checked_nclx,
    checked_png,
    in_srgb,
    is_adobe_rgb,
    is_to_convert,
    stated_colours,
)
from dped_data.settings import RawSettings

_FORMATS = ("JPEG", "PNG", "TIFF")
"""What Pillow may take a file for, whatever its name; HEIC by its suffix only, since it needs an extra."""

_NO_PHOTO = "not a photo (no known image format)"
_GAIN_MAPS = (b"http://ns.adobe.com/hdr-gain-map/1.0/", b"http://ns.apple.com/HDRGainMap/1.0/")
_ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1"
_OTHERS = (  # place, bytes and name of formats that are told by name when they are refused
    (4, b"ftypavif", "AVIF"),
    (4, b"jP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (8, b"WEBP", "WebP"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
)
TiffImagePlugin.OPEN_INFO.setdefault((TiffImagePlugin.MM, 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))
"""Pillow knows grey from white to black in 16 bits, but not with the high byte first."""
_SIGNED_OR_FLOAT, _CIELAB = (2, 3), (8, 9, 10)
_PHOTOMETRIC, _MIN_IS_WHITE, _RGB = TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0, 2
_TRANSPOSES = {  # EXIF orientation -> what makes the photo upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_header(path: Path) -> PhotoHeader:
    """Read a photo's upright size and EXIF capture time without decoding it; PhotoError if it is no photo."""
    with open_photo_file(path) as file:
        raw = is_raw(file, path.name)
    if raw:
        return raw_header(path)
    with opened_photo(path) as image:
        exif = read_exif(image)
        _check_kind_of_colours(path, image)
        width, height = image.size
        # Pillow reports the size of an oriented TIFF upright, that of any other format as stored.
        if not isinstance(image, TiffImagePlugin.TiffImageFile) and orientation_of(exif) >= 5:
            width, height = height, width
        return PhotoHeader(width, height, *capture_time(exif), has_gain_map=_has_gain_map(image))


def _check_kind_of_colours(path: Path, image: Image.Image) -> None:
    """Refuse by the header what `decode_photo` refuses for its colours, so that a plan can say so."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff_kind(path.name, image)
    elif image.format == "HEIF" and not image.info.get("icc_profile"):
        checked_nclx(image.info.get("nclx_profile"), path.name)
    elif image.format == "PNG":
        with open_photo_file(path) as file:
            checked_png(png_colours(file), path.name)


def _has_gain_map(image: Image.Image) -> bool:
    """Whether an opened photo is Ultra HDR, ISO 21496-1 or a maker's like: its XMP data, a segment, or HEIC's aux."""
    xmp, aux = image.info.get("xmp", b""), image.info.get("aux", {})
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    segments = getattr(image, "applist", ())
    return (
        any(mark in xmp for mark in _GAIN_MAPS)
        or any(kind == "APP2" and body.startswith(_ISO_GAIN_MAP) for kind, body in segments)
        or any("gainmap" in str(kind) for kind in aux)
    )


def read_photo(path: Path, raw: RawSettings | None = None) -> NDArray[np.uint8]:
    """Return the photo as (H, W, 3) uint8 RGB, sRGB, upright.

    Grey, palette, CMYK, 16-bit and transparent photos are converted (transparency is dropped); embedded ICC profiles
    and the Adobe RGB mark of cameras (EXIF interoperability index R03) are converted to sRGB. RAW photos are developed
    as `raw` says, by default with fixed brightness.

    Raises:
        PhotoError: the file cannot be read, is no photo, is truncated or damaged, or has more than MAX_PIXELS pixels.
    """
    return decode_photo(read_bytes(path), path.name, raw)


def decode_photo(data: bytes, name: str, raw: RawSettings | None = None) -> NDArray[np.uint8]:
    """`read_photo` for bytes already in memory; `name` is for messages, and RAW files that do not tell their kind."""
    photo: NDArray[np.uint8] = decode_either(data, name, raw, deep=False)
    return photo


def decode_either(data: bytes, name: str, raw: RawSettings | None = None, *, deep: bool) -> NDArray[Any]:
    """As `decode_photo`; with `deep` uint16, where the photo has more than 8 bits a colour and they can be had."""
    if not data:
        raise PhotoError(name, "empty file (0 bytes)")
    if is_raw(io.BytesIO(data), name):
        return decode_raw(data, name, raw, deep=deep)
    with opened_photo(data, name) as image:
        check_expansion(name, image.format, image.width, image.height, len(data))
        exif = read_exif(image)
        orientation = orientation_of(exif)
        if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
            profile = image.info.get("icc_profile")
            is_grey = bool(profile) and image.mode == "L"
            decoded = decode_jpeg(data, name, "GRAY" if is_grey else "RGB")
            if orientation not in _TRANSPOSES and not profile and not is_adobe_rgb(exif):
                return decoded  # most photos: nothing to convert, nothing to copy
            pixels = Image.fromarray(decoded[..., 0] if is_grey else decoded)
            colours = stated_colours(image, data, exif, name)
        else:
            has_more = has_16_bits(image, data)
            pixels = _load(image, name, data)
            colours = stated_colours(image, data, exif, name)
            if has_more and (deep or is_to_convert(colours, pixels.mode)):
                with suppress(PhotoError), decoding(name, "a kind of file of which the whole depth cannot be had"):
                    return upright(in_16_bits(image, data, colours, deep=deep), orientation)
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                orientation = 1  # Pillow has turned it upright while loading
        pixels = in_srgb(pixels, colours)
    if orientation in _TRANSPOSES:
        pixels = pixels.transpose(_TRANSPOSES[orientation])
    return np.array(pixels)


@contextmanager
def opened_photo(source: Path | bytes, name: str = "") -> Iterator[Image.Image]:
    """Open a photo, or its bytes, with Pillow, which reads the header only; PhotoError for no photo or too large a one.

    What is done with the image must stand in `decoding`, as all that decodes.
    """
    name = name or (source.name if isinstance(source, Path) else "photo")
    with io.BytesIO(source) if isinstance(source, bytes) else open_photo_file(source) as file:
        with decoding(name, _NO_PHOTO):
            _check_kind(name, file)
            check_segments(name, file)
            formats = (*_FORMATS, "HEIF") if _is_heif(name, file) else _FORMATS
            try:
                image = Image.open(file, formats=formats)
            except Image.DecompressionBombError:
                raise PhotoError(name, TOO_LARGE) from None
            except ValueError as error:
                if fault := fault_when_opening(error):
                    raise PhotoError(name, fault) from None
                raise
            except UnidentifiedImageError:
                raise PhotoError(name, _unknown(file)) from None
            check_size(name, image.width, image.height)
            check_tiles(name, image)
        yield image


def _unknown(file: BinaryIO) -> str:
    file.seek(0)
    if file.read(2) not in (b"II", b"MM"):
        return _NO_PHOTO
    import tifffile

    file.seek(0)
    kind = "an unknown one"
    with suppress(PhotoError), decoding("", "no TIFF"), tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        colours = getattr(page.photometric, "name", page.photometric)
        kind = f"{colours}, {page.samplesperpixel} x {page.bitspersample} bits a pixel"
    return f"a TIFF of a kind that is not supported ({kind}); save it as grey or RGB with 8 or 16 bits a colour"


def _check_kind(name: str, file: BinaryIO) -> None:
    """Refuse by name what is known and not read; leaves `file` at its start."""
    head = file.read(16)
    file.seek(0)
    for place, mark, kind in _OTHERS:
        if head[place : place + len(mark)] == mark:
            raise PhotoError(name, f"{kind} photos are not read; save it as JPEG, PNG or TIFF")


def _check_tiff_kind(name: str, image: TiffImagePlugin.TiffImageFile) -> None:
    """Refuse numbers and colours that Pillow would take for others."""
    tags = image.tag_v2
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    kinds = {*tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))}
    if kinds & {*_SIGNED_OR_FLOAT} and image.mode != "F":
        raise PhotoError(name, "signed numbers are not supported; save it with 8 or 16 bits")
    if bits > 16 and image.mode != "F":
        raise PhotoError(name, f"{bits} bits a colour are not supported; save it with 8 or 16")
    if tags.get(_PHOTOMETRIC) in _CIELAB:
        raise PhotoError(name, "CIELAB colours are not supported; save it in RGB")


def _is_heif(name: str, file: BinaryIO) -> bool:
    """Whether a file is of the kind of HEIC by its bytes, whatever its name; Pillow can open it afterwards."""
    head = file.read(8)
    file.seek(0)
    if head[4:] != b"ftyp":
        return False
    try:
        import pillow_heif
    except ImportError:
        raise PhotoError(name, "HEIC photos need an extra: pip install 'dped[heif]'") from None
    pillow_heif.register_heif_opener()
    return True


def decode_jpeg(
    data: bytes, name: str, colours: str = "RGB", least_wh: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Decode with libjpeg-turbo, (H, W, 3); whatever it warns of is an error, but for `without_harmless_faults`.

    With `least_wh` the photo is decoded fast at 1/1 to 1/8 of its size, at least that large, and damage is passed over.
    """
    check_scans(name, data)
    if least_wh:
        small = {"min_width": least_wh[0], "min_height": least_wh[1], "fastdct": True, "fastupsample": True}
        with decoding(name, "damaged JPEG"):
            return simplejpeg.decode_jpeg(data, "RGB", strict=False, **small)
    if has_zeroed_part(data):
        raise PhotoError(name, "damaged JPEG (a part of it is all zeros)")
    with decoding(name, "damaged JPEG"):
        pixels = _decode_strictly(data, name, colours)
    if breaks_off(pixels, data):
        raise PhotoError(name, "damaged JPEG (its content breaks off)")
    return pixels


def _decode_strictly(data: bytes, name: str, colours: str) -> NDArray[np.uint8]:
    """Decode a JPEG photo; PhotoError for whatever the decoder warns of, unless it costs no pixel."""
    try:
        return simplejpeg.decode_jpeg(data, colours)
    except ValueError:
        pass
    try:
        return simplejpeg.decode_jpeg(without_harmless_faults(data), colours)
    except ValueError as error:
        if "premature end" in str(error).lower():
            raise PhotoError(name, "truncated JPEG") from None
        raise PhotoError(name, f"damaged JPEG ({error})") from None


def has_alpha(image: Image.Image) -> bool:
    """Whether an opened photo has transparency, which is dropped."""
    return "A" in image.getbands() or "transparency" in image.info


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation (1 to 8)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _load(image: Image.Image, name: str, data: bytes) -> Image.Image:
    """Decode with Pillow to mode RGB, L or CMYK, 8 bits."""
    if data.startswith(b"\xff\xd8"):  # CMYK: decoded by Pillow, once it is known to be sound
        decode_jpeg(data, name, "CMYK")
    check_all_chunks(name, data)
    if image.format == "PNG":
        check_png(name, data)
    elif image.format == "HEIF":
        check_heif(name, data)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff_kind(name, image)
        check_strips(name, image, data)
        _check_parts(name, image, data)
    with decoding(name, CLAIMS_TOO_MUCH):
        if isinstance(image, TiffImagePlugin.TiffImageFile) and _is_deep_and_planar(image):
            return _load_planes(image, name, data)
        is_negative = _is_deep_negative(image)
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            with complaints() as told, decoding(name, CLAIMS_TOO_MUCH):
                image.load()
            if told:
                raise PhotoError(name, f"damaged TIFF ({told[0]})")
        else:
            image.load()
        check_size(name, image.width, image.height)  # HEIC photos may turn out larger than they say
        if image.mode.startswith("I"):  # 16-bit grey: keep the upper eight bits
            grey = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
            return Image.fromarray(255 - grey if is_negative else grey)
        if image.mode in ("RGB", "L", "CMYK"):
            return image
        if image.mode == "F":
            raise PhotoError(name, "floating-point photos are not supported; save it with 8 or 16 bits")
        return image.convert("L" if image.mode in ("1", "LA") else "RGB")


def _check_parts(name: str, image: TiffImagePlugin.TiffImageFile, data: bytes) -> None:
    """Hold the strips or tiles of a TIFF file that are deflated, or JPEG pictures, against what they state."""
    compression = image.tag_v2.get(TiffImagePlugin.COMPRESSION)
    if compression in DEFLATED:
        check_deflated(name, image, data)
    elif compression in (PLAIN, RUN_LENGTHS):
        check_zeros(name, image, data)
    elif compression == JPEG_PARTS:
        for part in jpegs_of(image, data):
            decode_jpeg(part, name, "GRAY" if image.mode == "L" else "CMYK" if image.mode == "CMYK" else "RGB")


def _is_deep_negative(image: Image.Image) -> bool:
    """Whether a grey TIFF counts 16 bits from white to black, which Pillow turns round for 8 bits only."""
    is_tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    return is_tiff and image.mode.startswith("I") and image.tag_v2.get(_PHOTOMETRIC) == _MIN_IS_WHITE  # type: ignore[attr-defined]


def _is_deep_and_planar(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether a TIFF holds its colours one after another in more than 8 bits, which Pillow garbles."""
    bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    return image.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2 and max(bits) > 8


def _load_planes(image: TiffImagePlugin.TiffImageFile, name: str, data: bytes) -> Image.Image:
    """Read such a file with tifffile, upright; PhotoError for any but uncompressed RGB in 16 bits."""
    import tifffile

    if image.tag_v2.get(TiffImagePlugin.COMPRESSION) != 1 or image.tag_v2.get(_PHOTOMETRIC) != _RGB:
        raise PhotoError(name, "compressed 16-bit planar TIFFs are not supported; save it interleaved, or with 8 bits")
    stored_hw = tuple(image.tag_v2.get(tag) for tag in (TiffImagePlugin.IMAGELENGTH, TiffImagePlugin.IMAGEWIDTH))
    planes = np.asarray(tifffile.imread(io.BytesIO(data)))
    if planes.dtype != np.uint16 or planes.ndim != 3 or planes.shape[1:] != stored_hw or len(planes) < 3:
        raise PhotoError(name, CLAIMS_TOO_MUCH)
    pixels = Image.fromarray(np.ascontiguousarray((planes[:3] >> 8).astype(np.uint8).transpose(1, 2, 0)))
    turn = _TRANSPOSES.get(image.tag_v2.get(ExifTags.Base.Orientation, 1))
    return pixels.transpose(turn) if turn is not None else pixels
