// What lives here: fetching the earthquakes of a day, page by page, and proving that it is all of them.
// Invariant: nothing is handed on that was not counted before and after, had an event twice or lacked one.
// Apart because proving an answer complete is the whole difference between an empty day and a lost one.
import { CodedError } from 'mendflow/model';
import type { HttpClient, HttpAnswer } from '../../connectors/http/index.ts';
import { dayOf } from './quake.ts';

/** Events of a page. */
export const PAGE_RECORDS = 100;
const COUNT = '/fdsnws/event/1/count';
const QUERY = '/fdsnws/event/1/query';

export interface Window {
  readonly dataDate: string;
  readonly pageRecords: number;
  readonly signal: AbortSignal;
  readonly decided?: boolean;
}

/** What shows that a day is complete; kept with its dataset. */
export interface Proof extends Readonly<Record<string, unknown>> {
  readonly totalBefore: number;
  readonly totalAfter: number;
  readonly pages: number;
  readonly records: number;
}

const changed = (key: string, what: string): CodedError =>
  new CodedError('answer_changed', `${key} ${what}. Nothing of the answer was kept.`, { upstream: key });

const queryOf = ({ dataDate }: Window): Record<string, string> => {
  const { from, to } = dayOf(dataDate);
  const utc = (ms: number): string => new Date(ms).toISOString().replace('Z', '+00:00');
  return { format: 'geojson', starttime: utc(from), endtime: utc(to) };
};

const optionsOf = ({ signal, decided }: Window): { signal: AbortSignal; decided?: boolean } => ({
  signal,
  ...(decided ? { decided } : {}),
});

/** How many events the upstream has for the day. */
export async function countDay(http: HttpClient, window: Window): Promise<number> {
  const answer = await http.get(COUNT, { query: queryOf(window), ...optionsOf(window) });
  const { count } = objectOf(answer.json());
  if (typeof count !== 'number' || !Number.isInteger(count) || count < 0)
    throw changed(http.key, 'answers without a count where one is asked for');
  return count;
}

/** Hands each event on in its order, and returns the proof. Fails with `pages_moved`, `paging_stuck`, `answer_cut` and `answer_changed` besides what calls fail with. */
export async function fetchDay(
  http: HttpClient,
  window: Window,
  totalBefore: number,
  put: (feature: unknown) => Promise<void>,
): Promise<Proof> {
  const { pageRecords } = window;
  let records = 0;
  let pages = 0;
  const seen = seenEvents(http.key);
  const query = { ...queryOf(window), orderby: 'time-asc', limit: pageRecords };
  const linkTo = (offset: number): string =>
    `${QUERY}?${new URLSearchParams({ ...queryOf(window), orderby: 'time-asc', limit: String(pageRecords), offset: String(offset) }).toString()}`;
  if (totalBefore > 0) {
    const next = (answer: HttpAnswer, page: number): string | undefined =>
      featuresOf(http.key, answer).length > 0 && page * pageRecords < totalBefore
        ? linkTo(page * pageRecords + 1)
        : undefined;
    const rules = {
      query: { ...query, offset: 1 },
      pagesMax: Math.ceil(totalBefore / pageRecords) + 1,
      ...optionsOf(window),
    };
    for await (const answer of http.pages(QUERY, next, rules)) {
      const features = featuresOf(http.key, answer);
      if (features.length > pageRecords)
        throw stuck(http.key, `gives ${features.length} events where ${pageRecords} were asked for`);
      seen.refuse(idsOf(features), pages + 1);
      for (const feature of features) await put(feature);
      records += features.length;
      pages++;
    }
  }
  const totalAfter = await countDay(http, window);
  if (totalAfter !== totalBefore)
    throw new CodedError(
      'pages_moved',
      `${http.key} counted ${totalBefore} events of ${window.dataDate} before its pages were read and ${totalAfter} afterwards. Nothing was kept; they are read again.`,
      { upstream: http.key },
    );
  if (records < totalBefore)
    throw new CodedError(
      'answer_cut',
      `${http.key} counts ${totalBefore} events of ${window.dataDate}, and its ${pages} pages held ${records}. Nothing was kept.`,
      { upstream: http.key },
    );
  if (records > totalBefore)
    throw stuck(http.key, `counts ${totalBefore} events of ${window.dataDate}, and its ${pages} pages held ${records}`);
  return { totalBefore, totalAfter, pages, records };
}

const stuck = (key: string, what: string): CodedError =>
  new CodedError('paging_stuck', `${key} ${what}. Nothing of the answer was kept.`, { upstream: key });

const objectOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

function featuresOf(key: string, answer: HttpAnswer): readonly unknown[] {
  const { type, features } = objectOf(answer.json());
  if (type !== 'FeatureCollection' || !Array.isArray(features))
    throw changed(key, 'answers with something that is no collection of features');
  return features;
}

/** An event without an ID is nobody's double; validation turns it away. */
const idsOf = (features: readonly unknown[]): string[] =>
  features.map((feature) => objectOf(feature)['id']).filter((id) => typeof id === 'string');

/** A page that came before comes again for ever; a single event that does says that the list moved under the reader. */
function seenEvents(key: string): { refuse(ids: readonly string[], page: number): void } {
  const known = new Set<string>();
  const pages = new Map<string, number>();
  return {
    refuse(ids, page) {
      if (new Set(ids).size < ids.length) throw stuck(key, `gives an event twice on page ${page}`);
      const whole = ids.join('\n');
      const before = pages.get(whole);
      if (before !== undefined && ids.length > 0)
        throw stuck(key, `gives the events of page ${before} again as page ${page}`);
      if (ids.some((id) => known.has(id)))
        throw new CodedError(
          'pages_moved',
          `${key} gives an event on page ${page} that an earlier page had, so others may be missing. Nothing was kept; the pages are read again.`,
          { upstream: key },
        );
      pages.set(whole, page);
      for (const id of ids) known.add(id);
    },
  };
}

/** Dates that a volume is compared with, and how many there have to be. */
export const DATES_COMPARED = 14;
export const DATES_MIN = 3;
/** Fewer than this share of the usual number is taken for a fault of the upstream, not for a quiet day. */
export const SHARE_MIN = 0.4;

/** Fails with `volume_low` if the number is 0, or 60 % smaller than the median of other dates. */
export function guardVolume(key: string, dataDate: string, records: number, others: readonly number[]): void {
  const usual = medianOf(others);
  const compared = others.length >= DATES_MIN;
  if (records > 0 && !(compared && records < SHARE_MIN * usual)) return;
  const share = compared
    ? `the median of ${others.length} other dates is ${usual}${usual > 0 ? `, so ${Math.round((1 - records / usual) * 100)} % are missing` : ''}`
    : 'there are no other dates to compare with';
  throw new CodedError(
    'volume_low',
    `${key} has ${records} events for ${dataDate}; ${share}. Nothing was fetched, and what was loaded before stays. If that is really all: accept-loss; once the upstream is mended: retry.`,
    { upstream: key },
  );
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
