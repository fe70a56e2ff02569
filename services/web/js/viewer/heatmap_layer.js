// A heatmap over the slide: the server's picture, one pixel a patch step, laid out in level-0 px.

export class HeatmapLayer {
  depth = 0;

  /** `told` is the server's answer: image, bounds, minimum, maximum, label, colours. */
  static async from(told) {
    return new HeatmapLayer(told, await createImageBitmap(pngOf(told.image)));
  }

  constructor(told, bitmap) {
    this.told = told;
    this.bitmap = bitmap;
    this.opacity = 0.6;
  }

  paint({ context, zoom, x, y }) {
    const { bounds } = this.told;
    context.globalAlpha = this.opacity;
    context.imageSmoothingEnabled = false; // A value belongs to its whole patch, and to nothing between two.
    context.drawImage(this.bitmap, x(bounds.x), y(bounds.y), bounds.width * zoom, bounds.height * zoom);
  }

  close() {
    this.bitmap.close();
  }
}

/** The bytes of a data: address, decoded here so that no policy has to allow fetching one. */
function pngOf(address) {
  const bytes = Uint8Array.from(atob(address.slice(address.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}
