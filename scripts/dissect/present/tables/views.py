"""Name -> view, with the names that layouts use."""

from dissect.config.layout import VIEW_AXES, VIEW_QUANTITIES, ViewName
from dissect.present.tables.attention_view import ATTENTION
from dissect.present.tables.operator_views import OPERATOR_VIEWS
from dissect.present.tables.profile_views import MODULES, PHASES
from dissect.present.tables.rate_views import PROBES, RATES
from dissect.present.tables.serving_views import REQUESTS, SERVING
from dissect.present.tables.training_view import TRAINING
from dissect.present.tables.view import View

VIEWS: dict[ViewName, View] = {
    "training": TRAINING,
    "phases": PHASES,
    "modules": MODULES,
    "attention": ATTENTION,
    "serving": SERVING,
    "requests": REQUESTS,
    "rates": RATES,
    "probes": PROBES,
    **OPERATOR_VIEWS,
}

for _name, _view in VIEWS.items():
    if [*_view.by_name] != [*VIEW_QUANTITIES[_name]] or [*_view.axes] != [*VIEW_AXES[_name]]:
        raise RuntimeError(f"dissect.config.layout does not name the axes and quantities of the view {_name}")
