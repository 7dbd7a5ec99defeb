"use strict";

/* Light and dark: the system's choice until the reader presses the button. */
const root = document.documentElement;
const systemDark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches;
}

function themeChanged() {
  document.dispatchEvent(new Event("themechange"));
}

document.getElementById("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try {
    localStorage.setItem("bakeoff-theme", root.dataset.theme);
  } catch {
    /* storage is off: the choice lasts as long as the page */
  }
  themeChanged();
});
systemDark.addEventListener("change", themeChanged);
