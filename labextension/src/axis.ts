/** The end of a time axis and its ticks, at round numbers. */

const UNITS = [1, 2, 5];
const CLOCK = [10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 28_800, 86_400]; // seconds
const MOST = 4; // parts of an axis

/** Of a run under way the axis ends at 1, 2, 5, 10, 20, 30 s, 1 min …, so that bars move rarely; else soon after the last bar. */
export function endOf(seconds: number, running: boolean): number {
  if (running) {
    return rounds(Math.max(seconds, 0.5)).find(end => end >= seconds) ?? seconds;
  }
  const half = stepOf(seconds) / 2;
  return Math.max(half * Math.ceil(seconds / half - 0.02), seconds);
}

/** The ticks of an axis, from 0. */
export function ticksOf(end: number): number[] {
  const step = stepOf(end);
  const found: number[] = [];
  for (let at = 0; at <= end * 1.001; at += step) {
    found.push(at);
  }
  return found;
}

function stepOf(seconds: number): number {
  const least = Math.max(seconds, 1e-3) / MOST;
  return rounds(least).find(step => step >= least * 0.999) ?? least;
}

/** Round numbers around `near`, in order. */
function rounds(near: number): number[] {
  const power = 10 ** (Math.floor(Math.log10(near)) - 1);
  const tens = [1, 10, 100].flatMap(ten => UNITS.map(unit => unit * ten * power));
  return [...tens.filter(n => n < CLOCK[0]), ...CLOCK, ...tens.filter(n => n > CLOCK[CLOCK.length - 1])];
}
