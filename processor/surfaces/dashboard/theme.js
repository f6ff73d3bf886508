// Light, dark, or what the system says; remembered in this browser.

const KEY = "creative-feedback-theme";
const NEXT = { system: "light", light: "dark", dark: "system" };

function remember(theme) {
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Storage may be forbidden: the choice then lasts as long as the page.
  }
}

/** Makes `button` go round the three themes and name the present one. */
export function offerThemes(button) {
  const root = document.documentElement;
  const tell = () => {
    const theme = root.dataset.theme ?? "system";
    button.dataset.theme = theme;
    button.title = `Theme: ${theme}. Press for ${NEXT[theme]}.`;
    button.setAttribute("aria-label", button.title);
  };
  button.addEventListener("click", () => {
    const theme = NEXT[root.dataset.theme ?? "system"];
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    remember(theme);
    tell();
  });
  tell();
}
