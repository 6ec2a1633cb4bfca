"""The methods that `dped train` knows: which network, and which losses (table 2 and table 3 of the paper)."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from dped_train.losses import RECIPES, Recipe
from dped_train.networks.compared import Johnson, PhotoNetwork, Srcnn
from dped_train.networks.dped import Enhancer
from dped_train.settings import RECIPE_WEIGHT, Method, TrainSettings

METHODS: tuple[Method, ...] = get_args(Method)
WEIGHTS = ("content_weight", "texture_weight", "colour_weight", "tv_weight", "mse_weight")


def recipe_of(settings: TrainSettings) -> Recipe:
    """The recipe that `settings` name, with the losses of their method and the weights that they change.

    `dped`: the recipe as it is. `srcnn`: the mean squared error alone (Dong et al., equation 4). `johnson`: the
    feature reconstruction loss at relu2_2 of VGG alone (Johnson et al., equation 2 and section 4.2), and their batch
    normalisation.
    """
    recipe = RECIPES[settings.recipe]
    if settings.method != "dped":
        recipe = replace(recipe, content_weight=0.0, texture_weight=0.0, colour_weight=0.0, tv_weight=0.0)
    if settings.method == "srcnn":
        recipe = replace(recipe, mse_weight=1.0)
    if settings.method == "johnson":
        recipe = replace(recipe, content_weight=1.0, content_layer="relu2_2", normalisation="batch")
    weights = {name: getattr(settings, name) for name in WEIGHTS if getattr(settings, name) != RECIPE_WEIGHT}
    return replace(recipe, **weights)


def new_network(method: Method, recipe: Recipe) -> PhotoNetwork:
    """The network of `method`, its weights not yet set."""
    if method == "srcnn":
        return Srcnn()
    return Johnson() if method == "johnson" else Enhancer(recipe.normalisation)
