// Light, dark, or as the system says. A plain script in the head, so that no page flashes in the wrong colours.
(() => {
  const KEY = "slidelake.theme";
  const ORDER = ["system", "light", "dark"];

  function remembered() {
    try {
      const value = localStorage.getItem(KEY);
      return ORDER.includes(value) ? value : "system";
    } catch {
      return "system"; // Storage is closed in some private windows.
    }
  }

  function put(theme) {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }

  let theme = remembered();
  put(theme);

  /** Goes on to the next of system, light, dark; returns its name. */
  window.slidelakeTheme = {
    current: () => theme,
    next() {
      theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
      put(theme);
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        return theme; // Then it holds for this window only.
      }
      return theme;
    },
  };
})();
