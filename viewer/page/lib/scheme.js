// Before anything is drawn: the colour scheme that was chosen, so that the page does not flash. Not a module, so that it is not deferred.
(() => {
  try {
    const scheme = localStorage.getItem("fanout.scheme");
    if (scheme === "dark" || scheme === "light") document.documentElement.dataset.scheme = scheme;
  } catch {
    // Without storage the system's scheme is used.
  }
})();
