// The few icons, as SVG paths on a grid of 16.

import { s } from "./dom.js";

const PATHS = {
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  check: "M3 8.5l3.5 3.5L13 4.5",
  cross: "M4 4l8 8M12 4l-8 8",
  error: "M8 2l6.5 11.5h-13zM8 6.5v3.2M8 11.4v.4",
  chevron: "M6 4l4 4-4 4",
  download: "M8 2.5v8M4.5 7.5L8 11l3.5-3.5M2.5 13.5h11",
  open: "M2.5 13V3.5h4l1.5 2h5.5V13z",
  auto: "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11",
  light: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  dark: "M13 9.8A5.6 5.6 0 0 1 6.2 3a5.5 5.5 0 1 0 6.8 6.8z",
  help: "M5.8 6a2.2 2.2 0 1 1 3.2 2c-.7.4-1 .8-1 1.6M8 11.8v.3",
  link: "M6.5 9.5l3-3M7 4.8l1.3-1.3a2.8 2.8 0 0 1 4 4L11 8.8M9 11.2l-1.3 1.3a2.8 2.8 0 0 1-4-4L5 7.2",
  compare: "M2.5 4.5h7M2.5 7h4M2.5 10.5h11M2.5 13h7",
  play: "M4.5 3v10l8-5z",
  wait: "M3 4.5h4M9 11.5h4M7 4.5c3 0-1 7 2 7",
};

/**
 * @param {keyof typeof PATHS} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  return s(
    "svg",
    { class: `icon icon-${name}`, viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true", focusable: "false" },
    s("path", { d: PATHS[name] }),
  );
}
