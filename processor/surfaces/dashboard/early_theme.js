// Runs before the first paint (the modules run after it), so that a remembered theme does not flash in late.
try {
  const remembered = localStorage.getItem("creative-feedback-theme");
  if (remembered === "light" || remembered === "dark") document.documentElement.dataset.theme = remembered;
} catch {
  // Storage may be forbidden: then the system's theme it is.
}
