// What lives here: the chart of a day: events by hour, in three ranges of magnitude.
// Invariant: numbers only; no text from outside reaches the drawing.
// Apart from the page because drawing is arithmetic and the rest is words.
import type { Quake } from './quake.ts';

const WIDTH = 720;
const HEIGHT = 220;
const LEFT = 36;
const BOTTOM = 24;
const TOP = 24;
const HOURS = 24;

const ranges = [
  { css: 'low', says: 'below 2.5', holds: (magnitude: number) => magnitude < 2.5 },
  { css: 'mid', says: '2.5 to 4.4', holds: (magnitude: number) => magnitude >= 2.5 && magnitude < 4.5 },
  { css: 'high', says: '4.5 and above', holds: (magnitude: number) => magnitude >= 4.5 },
] as const;

/** Bars by UTC hour, as inline SVG. Events without a magnitude count as small. */
export function chartOf(quakes: readonly Quake[]): string {
  const hours = Array.from({ length: HOURS }, () => ranges.map(() => 0));
  for (const { time, magnitude } of quakes) {
    const hour = hours[new Date(time).getUTCHours()]!;
    hour[ranges.findIndex(({ holds }) => holds(magnitude ?? 0))]!++;
  }
  const tallest = Math.max(1, ...hours.map((counts) => counts.reduce((sum, count) => sum + count, 0)));
  const step = niceStep(tallest);
  const top = Math.ceil(tallest / step) * step;
  const y = (count: number): number => round(HEIGHT - BOTTOM - (count / top) * (HEIGHT - BOTTOM - TOP));
  const parts = [...gridOf(top, step, y), ...hours.flatMap((counts, hour) => barOf(counts, hour, y)), ...legend()];
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Number of events in each hour of the day, by magnitude">
${parts.join('\n')}
</svg>`;
}

const round = (value: number): number => Math.round(value * 10) / 10;
const slot = (WIDTH - LEFT) / HOURS;

/** About four lines, at round numbers. */
function niceStep(tallest: number): number {
  const rough = tallest / 4;
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough) ?? 10 * power;
}

const gridOf = (top: number, step: number, y: (count: number) => number): string[] =>
  Array.from({ length: Math.round(top / step) + 1 }, (_, index) => index * step).map(
    (count) =>
      `<line x1="${LEFT}" x2="${WIDTH}" y1="${y(count)}" y2="${y(count)}"/><text x="${LEFT - 6}" y="${y(count) + 4}" text-anchor="end">${count}</text>`,
  );

function barOf(counts: readonly number[], hour: number, y: (count: number) => number): string[] {
  const x = round(LEFT + hour * slot + 3);
  let below = 0;
  const bars = counts.flatMap((count, index) => {
    const from = below;
    below += count;
    if (count === 0) return [];
    const { css, says } = ranges[index]!;
    const height = round(y(from) - y(below));
    return [
      `<rect class="${css}" x="${x}" y="${y(below)}" width="${round(slot - 6)}" height="${height}"><title>${hour}:00, ${says}: ${count}</title></rect>`,
    ];
  });
  return hour % 3 === 0 ? [...bars, `<text x="${x}" y="${HEIGHT - 8}">${String(hour).padStart(2, '0')}</text>`] : bars;
}

const legend = (): string[] =>
  ranges.map(
    ({ css, says }, index) =>
      `<rect class="${css}" x="${LEFT + index * 130}" y="4" width="10" height="10"/><text x="${LEFT + index * 130 + 15}" y="13">${says}</text>`,
  );
