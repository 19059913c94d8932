// What lives here: the page of a day: figures, a chart, the strongest quakes, how fresh all of it is and what was left out.
// Invariant: a pure function of what it is given; loads nothing, runs nothing, and text from outside never becomes markup.
// Apart from writing it to a place, so that a test reads a string.
import { inDigits } from '../../model/duration.ts';
import { chartOf } from './chart.ts';
import type { Metric, Quake } from './quake.ts';
import { shellWord } from '../../model/shell.ts';

export interface PageInput {
  readonly run: string;
  readonly dataDate: string;
  /** When the data was fetched. */
  readonly asOf: Date;
  readonly origin: 'live' | 'snapshot' | 'backup';
  readonly counts: {
    readonly read: number;
    readonly loaded: number;
    readonly unchanged: number;
    readonly letters: number;
  };
  readonly quakes: readonly Quake[];
  readonly metrics: readonly Metric[];
}

const STRONGEST = 10;

export const escaped = (text: string): string =>
  text
    .replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
    .replace(/[^\P{Cc}\t\n\r]/gu, '\ufffd')
    .toWellFormed();

const utc = (iso: string): string => `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`;

/** In a reader's order: how many, and of which kinds; how strong, how deep, what it meant. With their decimals. */
const names: Readonly<Record<string, readonly [name: string, decimals: number]>> = {
  quakes: ['Events', 0],
  quakes_m2_5: ['Magnitude 2.5 and above', 0],
  quakes_m4_5: ['Magnitude 4.5 and above', 0],
  magnitude_max: ['Largest magnitude', 1],
  magnitude_mean: ['Mean magnitude', 2],
  depth_km_max: ['Deepest, in km', 1],
  tsunami: ['With a tsunami warning', 0],
  significant: ['Significant (600 and above)', 0],
  significance_max: ['Highest significance', 0],
};
const order = Object.keys(names);
const DECIMALS_MAX = 2;

const nameOf = ({ metric_id: id }: Metric): string =>
  names[id]?.[0] ?? `Of these: ${id.replace(/^quakes_/, '').replaceAll('_', ' ')}`;

/** Kinds stand below the sum of which they are parts. */
const placeOf = ({ metric_id: id }: Metric): number => (order.includes(id) ? order.indexOf(id) : 0.5);

/** Points stand below each other: what has fewer decimals is filled up with blanks of the width of a point and of a digit. */
function aligned({ metric_id: id, value }: Metric): string {
  const decimals = names[id]?.[1] ?? 0;
  const shown = value.toLocaleString('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  return `${shown}${decimals === 0 ? '\u2008' : ''}${'\u2007'.repeat(DECIMALS_MAX - decimals)}`;
}

/** The page as HTML. */
export function pageOf(input: PageInput): string {
  const { dataDate, quakes } = input;
  const day = escaped(dataDate);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Earthquakes of ${day}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>Earthquakes of ${day}</h1>
<p class="fresh">${freshness(input)}</p>
${leftOut(input)}
<h2>Figures</h2>
${figures(input.metrics)}
<h2>By hour (UTC)</h2>
${chartOf(quakes)}
<h2>The strongest</h2>
${strongest(quakes)}
<h2>Where this comes from</h2>
${origin(input)}
</main>
</body>
</html>
`;
}

function freshness({ dataDate, asOf, origin }: PageInput): string {
  const from = origin === 'live' ? 'live from the upstream' : `not live: from a ${origin}`;
  return `Data of <strong>${escaped(dataDate)}</strong> (the whole day, UTC), as of <time datetime="${asOf.toISOString()}">${utc(asOf.toISOString())}</time>, ${from}.`;
}

function leftOut({ counts, run }: PageInput): string {
  if (counts.letters === 0) return '';
  const records = counts.letters === 1 ? '1 record is' : `${inDigits(counts.letters)} records are`;
  return `<p class="warn">${records} missing here: not as records have to be, and kept as dead letters. See what is wrong with them: <code>npx mendflow letters list --run ${escaped(shellWord(run))}</code></p>`;
}

function figures(metrics: readonly Metric[]): string {
  const rows = metrics
    .toSorted((a, b) => placeOf(a) - placeOf(b) || (a.metric_id < b.metric_id ? -1 : 1))
    .map((metric) => `<tr><th scope="row">${escaped(nameOf(metric))}</th><td>${aligned(metric)}</td></tr>`)
    .join('\n');
  return `<table class="figures"><tbody>\n${rows}\n</tbody></table>`;
}

function strongest(quakes: readonly Quake[]): string {
  const top = quakes
    .filter(({ magnitude }) => magnitude !== null)
    .toSorted((a, b) => b.magnitude! - a.magnitude! || (a.id < b.id ? -1 : 1))
    .slice(0, STRONGEST);
  if (top.length === 0) return '<p>No event has a magnitude.</p>';
  const rows = top
    .map(
      ({ magnitude, place, time, depth_km: depth, kind }) =>
        `<tr><td class="number">${magnitude!.toFixed(1)}</td><td>${escaped(place ?? 'unknown place')}${kind === 'earthquake' ? '' : ` (${escaped(kind)})`}</td><td>${escaped(time.slice(11, 19))}</td><td class="number">${depth === null ? '' : depth.toFixed(1)}</td></tr>`,
    )
    .join('\n');
  return `<table><thead><tr><th scope="col" class="number">Magnitude</th><th scope="col">Where</th><th scope="col">UTC</th><th scope="col" class="number">Depth, km</th></tr></thead><tbody>\n${rows}\n</tbody></table>`;
}

function origin({ run, counts }: PageInput): string {
  const { read, loaded, unchanged, letters } = counts;
  return `<p>Run <code>${escaped(run)}</code>: ${inDigits(read)} records read = ${inDigits(loaded)} loaded + ${inDigits(unchanged)} that were there already + ${inDigits(letters)} dead letters.
Tables <code>quakes</code> and <code>daily_metrics</code>. More about the run: <code>npx mendflow show ${escaped(shellWord(run))}</code></p>`;
}

const style = `
:root{--ink:#1b1f24;--dim:#57606a;--paper:#fff;--line:#d0d7de;--low:#9ecae1;--mid:#f2a33a;--high:#c0392b;--warn:#fff4d6}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9198a1;--paper:#0d1117;--line:#30363d;--low:#3b6f8f;--mid:#d98c1f;--high:#ff6b57;--warn:#3a2d05}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:56rem;margin:0 auto;padding:2rem 1rem}h1{margin:0 0 .25rem}h2{margin:2rem 0 .5rem;font-size:1.15rem}
.fresh{color:var(--dim);margin-top:0}.warn{background:var(--warn);padding:.5rem .75rem;border-left:4px solid var(--mid)}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
.figures{max-width:28rem}.figures td,.number{text-align:right;font-variant-numeric:tabular-nums}.figures th{font-weight:400}
svg{width:100%;height:auto;display:block}svg text{fill:var(--dim);font:11px system-ui,sans-serif}svg line{stroke:var(--line)}
.low{fill:var(--low)}.mid{fill:var(--mid)}.high{fill:var(--high)}code{overflow-wrap:anywhere}
@media print{:root{--ink:#000;--dim:#444;--paper:#fff;--line:#bbb}main{max-width:none;padding:0}h2{break-after:avoid}tr,svg{break-inside:avoid}}
`;
