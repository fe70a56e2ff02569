// Numbers and lengths as people read them.

const WHOLE = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

export const whole = (number) => WHOLE.format(number);

/** "1 slide", "2,000 slides". */
export function counted(number, one, many = `${one}s`) {
  return `${whole(number)} ${number === 1 ? one : many}`;
}

/** A length in µm as "250 µm" or "2 mm". */
export function length(microns) {
  if (microns >= 1000) return `${trimmed(microns / 1000)} mm`;
  return `${trimmed(microns)} µm`;
}

/** A number with at most three significant digits, without needless zeros. */
export function trimmed(number) {
  return String(Number(number.toPrecision(3)));
}

/** A number with enough digits to tell it from its neighbours, as in a legend. */
export function figure(number) {
  if (number === null || number === undefined || Number.isNaN(number)) return "none";
  if (number === 0) return "0";
  const size = Math.abs(number);
  if (size >= 10000 || size < 0.001) return number.toExponential(2);
  return String(Number(number.toPrecision(4)));
}

/** "20×" for the objective that would show so many microns a pixel (10 µm/px at 1×). */
export function magnification(micronsPerPixel) {
  return `${trimmed(10 / micronsPerPixel)}×`;
}

/** A metadata value. */
export function shown(value) {
  if (value === null || value === undefined || value === "") return "—";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (typeof value === "number" && !Number.isInteger(value)) return figure(value);
  return String(value);
}
