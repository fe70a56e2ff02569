// The page's icons: strokes on a 20 × 20 field.

const PATHS = {
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  fit: "M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4",
  pan: "M10 2v16M2 10h16M7.500 4.500 10 2l2.500 2.500M7.500 15.500 10 18l2.500-2.500M4.500 7.500 2 10l2.500 2.500M15.500 7.500 18 10l-2.500 2.500",
  lasso: "M10 4c4.400 0 7 2 7 4.500S14.400 13 10 13s-7-2-7-4.500S5.600 4 10 4ZM6 12.300c-1.500.900-1.800 2.700-.300 3.400 1.400.700 2.800.100 3.600 1.800",
  polygon: "M4 8l6-5 6 4-2 9-8 1-2-9Z",
  rectangle: "M3 5h14v10H3z",
  freehand: "M3 15c2-6 4-9 6-8s-1 6 1 7 3-7 7-8",
  grid: "M3 3h14v14H3zM3 8h14M3 12.500h14M8 3v14M12.500 3v14",
  link: "M8.500 11.500a3 3 0 0 0 4.500.200l2.300-2.300a3 3 0 0 0-4.300-4.300l-1.200 1.200M11.500 8.500a3 3 0 0 0-4.500-.200l-2.300 2.300a3 3 0 0 0 4.300 4.300l1.200-1.200",
  close: "M5 5l10 10M15 5L5 15",
  theme: "M10 3a7 7 0 1 0 0 14V3Z M10 3a7 7 0 0 1 0 14",
  help: "M7.500 7.500A2.500 2.500 0 1 1 11 9.800c-.700.300-1 .800-1 1.700M10 14.500v.200",
  copy: "M7 7V3h10v10h-4M3 7h10v10H3z",
  search: "M9 3.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11ZM13.200 13.200 17 17",
  trash: "M4 6h12M8 6V4h4v2M6 6l.700 10.500h6.600L14 6",
  target: "M10 4a6 6 0 1 0 0 12 6 6 0 0 0 0-12ZM10 1.500v5M10 13.500v5M1.500 10h5M13.500 10h5",
  key: "M7 9.500a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM9.200 10.300 16 3.500M13 6.500l2.500 2.500",
  previous: "M12.500 4 6.500 10l6 6",
  next: "M7.500 4l6 6-6 6",
};

/** An icon by name; it says nothing to screen readers, its button does. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true", focusable: "false" })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
