"""Why a configuration has no cells, for the questions that list them."""

from dissect.config.catalog import ROOT_FILE, Catalog

_QUOTES = str.maketrans("", "", "'")


def why_no_cells(catalog: Catalog) -> str:
    """The keys that leave none. A glob of ``select`` that matches no cell is an error before."""
    root = catalog.root
    asked = {"platforms": root.platforms, "models": root.models, "tables": root.tables, "figures": root.figures}
    causes = [f"{key}: []" for key in ("platforms", "models") if not asked[key]]
    if not root.tables and not root.figures:
        causes.append("tables: [] and figures: []")
    if causes:
        each = " of each" if len(causes) > 1 else ""
        return f"0 cells: {ROOT_FILE} or --config has {', '.join(causes)}; expected at least one name{each}"
    settings = (f"{key}: {str(names).translate(_QUOTES)}" for key, names in asked.items())
    return (
        f"0 cells: the tables and figures asked for have none on these platforms and models ({'; '.join(settings)}); "
        f"add to one of these keys of {ROOT_FILE}"
    )
