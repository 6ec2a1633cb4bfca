from .rig import SimulationReport as SimulationReport
from .rig import simulate_rig as simulate_rig
from .score import Score as Score
from .score import score_dataset as score_dataset
from .score import score_table as score_table
from .settings import SimulationSettings as SimulationSettings
from .truth import Truth as Truth
from .truth import read_truths as read_truths
