"""Which tests stay together with ``--dist loadgroup``: one process takes a group, one test after the other."""

import re

from xdist.scheduler import LoadScopeScheduling

GROUPS = re.compile(
    r"tests/e2e/serving/"  # servers and loads, one after the other: most of the time something is waited for
    r"|tests/e2e/"  # they measure and start real programs: no two of them side by side
    r"|tests/browser/"  # one browser, and two pages that take seconds to make
    r"|tests/workflow/test_(claims|exchange|site)\.py"  # clones and a site that all tests of a module read
    r"|tests/unit/test_(plan_costs|predicted_settings|report|shipped_verdicts|trust)\.py"  # what takes seconds to make
)


class GroupScheduling(LoadScopeScheduling):
    """Groups first, the largest ahead; every other test by itself."""

    def _split_scope(self, nodeid: str) -> str:
        group = GROUPS.match(nodeid)
        return group[0] if group else nodeid
