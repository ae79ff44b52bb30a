// Before anything is painted: the theme that the reader chose on an earlier page, if any.
"use strict";
try {
  document.documentElement.dataset.theme = localStorage.getItem("theme") || "auto";
} catch {
  // A browser may keep nothing for pages that come from a disk.
}
