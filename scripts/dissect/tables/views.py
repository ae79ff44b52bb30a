"""All views, by the name that a layout gives."""

from dissect.config.layout import VIEW_AXES, VIEW_QUANTITIES, ViewName
from dissect.tables.attention import ATTENTION
from dissect.tables.operators import OPERATOR_VIEWS
from dissect.tables.profile import MODULES, PHASES
from dissect.tables.serving import REQUESTS, SERVING
from dissect.tables.training import TRAINING
from dissect.tables.view import View

VIEWS: dict[ViewName, View] = {
    "training": TRAINING,
    "phases": PHASES,
    "modules": MODULES,
    "attention": ATTENTION,
    "serving": SERVING,
    "requests": REQUESTS,
    **OPERATOR_VIEWS,
}

for _name, _view in VIEWS.items():
    if [*_view.by_name] != [*VIEW_QUANTITIES[_name]] or [*_view.axes] != [*VIEW_AXES[_name]]:
        raise RuntimeError(f"dissect.config.layout does not name the axes and quantities of the view {_name}")
