/* What the theme leaves undone.

   What scrolls sideways can be reached and scrolled by keyboard; what does not is no stop on the way. */
(() => {
  const kinds = {
    ".bd-article .pst-scrollable-table-container": "Table",
    ".bd-article .tq-figure-box": "Figure",
    ".bd-article mjx-container[display='true']": "Equation",
    ".bd-article pre": "Code",
  };
  const mark = (box, kind) => {
    const scrolls = box.scrollWidth > box.clientWidth;
    if (scrolls == (box.tabIndex == 0)) return;
    const names = { tabindex: "0", role: "region", "aria-label": box.querySelector("caption")?.textContent.trim() || kind };
    for (const [key, value] of Object.entries(names))
      scrolls ? box.setAttribute(key, value) : box.removeAttribute(key);
  };
  const each = (act) =>
    Object.entries(kinds).forEach(([boxes, kind]) => document.querySelectorAll(boxes).forEach((box) => act(box, kind)));
  const sizes = new ResizeObserver(() => each(mark)); // of the window, of what is unfolded, of formulas with their fonts
  const watch = (box) => [box, ...box.children].forEach((part) => sizes.observe(part));
  window.addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(() => each(watch)));

  // Paper is white, whatever the screen is.
  const theme = document.documentElement.dataset;
  let shown;
  window.addEventListener("beforeprint", () => ([shown, theme.theme] = [theme.theme, "light"]));
  window.addEventListener("afterprint", () => (theme.theme = shown));
})();
