// What lives here: the quakes the demo upstream serves, and what a query asks of them.
// Invariant: the records are real (a week of the public earthquake feed, from the npm package vega-datasets) and are served as they stand there.
// Apart from the server because whether an answer is right has nothing to do with how it is broken on its way.
import { readFileSync } from 'node:fs';

/** One event of the feed; only what is asked about has a type. */
export interface Quake {
  readonly type: 'Feature';
  readonly id: string;
  readonly properties: Readonly<Record<string, unknown>> & { readonly time: number; readonly mag: number | null };
  readonly geometry: unknown;
}

export interface Query {
  readonly from: number;
  readonly until: number;
  readonly minMagnitude: number;
  readonly limit: number;
  /** From 1, as the public service counts. */
  readonly offset: number;
  readonly ascending: boolean;
}

/** The most that one answer of the public service holds. */
export const LIMIT_MAX = 20_000;

const file = new URL('../data/earthquakes.json', import.meta.resolve('vega-datasets'));

let read: readonly Quake[] | undefined;

/** All 1,707 of them, oldest first; of two at one moment the smaller ID first, so that pages never depend on chance. */
export function quakes(): readonly Quake[] {
  read ??= (JSON.parse(readFileSync(file, 'utf8')) as { features: Quake[] }).features.toSorted(
    (a, b) => a.properties.time - b.properties.time || (a.id < b.id ? -1 : 1),
  );
  return read;
}

/** Everything that fits, before pages are cut. `endtime` itself belongs to it, as with the public service. */
export function matching({ from, until, minMagnitude, ascending }: Query): readonly Quake[] {
  const found = quakes().filter(
    ({ properties: { time, mag } }) =>
      time >= from && time <= until && (minMagnitude === -Infinity || (mag ?? -Infinity) >= minMagnitude),
  );
  return ascending ? found : found.toReversed();
}

const names = new Set(['format', 'starttime', 'endtime', 'minmagnitude', 'limit', 'offset', 'orderby']);

/** Reads the parameters; a sentence says what is wrong with them. */
export function readQuery(asked: URLSearchParams): Query | string {
  for (const name of asked.keys()) if (!names.has(name)) return `The parameter "${name}" is not known here.`;
  const format = asked.get('format') ?? 'geojson';
  if (format !== 'geojson') return `The format "${format}" is not served here; ask for geojson.`;
  const from = moment(asked.get('starttime'), -Infinity);
  const until = moment(asked.get('endtime'), Infinity);
  if (from === undefined || until === undefined) return 'starttime and endtime are ISO 8601, such as 2018-02-01.';
  if (from > until) return 'starttime is after endtime.';
  const minMagnitude = numeral(asked.get('minmagnitude'), -Infinity);
  if (minMagnitude === undefined) return 'minmagnitude is a number.';
  const limit = numeral(asked.get('limit'), LIMIT_MAX);
  if (limit === undefined || !Number.isInteger(limit) || limit < 1 || limit > LIMIT_MAX)
    return `limit is a whole number from 1 to ${LIMIT_MAX}.`;
  const offset = numeral(asked.get('offset'), 1);
  if (offset === undefined || !Number.isInteger(offset) || offset < 1) return 'offset is a whole number from 1.';
  const order = asked.get('orderby') ?? 'time';
  if (order !== 'time' && order !== 'time-asc') return 'orderby is time or time-asc.';
  return { from, until, minMagnitude, limit, offset, ascending: order === 'time-asc' };
}

/** Without a zone it is UTC, as with the public service. */
function moment(written: string | null, missing: number): number | undefined {
  if (written === null || written === '') return missing;
  const zoned = /T.*(Z|[+-]\d\d:?\d\d)$/.test(written) || !written.includes('T') ? written : `${written}Z`;
  const at = Date.parse(zoned);
  return Number.isNaN(at) ? undefined : at;
}

function numeral(written: string | null, missing: number): number | undefined {
  if (written === null) return missing;
  const value = Number(written);
  return written.trim() === '' || !Number.isFinite(value) ? undefined : value;
}
