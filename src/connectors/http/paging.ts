// What lives here: reading page after page until there is none, and noticing when that will never be.
// Invariant: what counts as progress is a declared rule, there is a last page, and so many pages without a record end the read.
// Apart because a read of pages is one operation of many calls: what goes wrong between the calls is seen only here.
import { writeJson } from '../../model/exact-json.ts';
import { CodedError } from '../../model/failure.ts';
import type { HttpAnswer } from './answer.ts';

/** The link to the next page as the answer gives it, absolute or relative to the answer's URL, or undefined after the last. Pages count from 1. */
export type Next = (answer: HttpAnswer, page: number) => string | undefined;

export interface PageRules {
  /** A read with more pages is `paging_stuck`. Default 10,000. */
  readonly pagesMax?: number;
  /**
   * What shows that a read moves on; without it, it is `paging_stuck`. `both` (default): each link is new, and no page has the records of the one
   * before it, unless both have none. `links`: only that. `records`: the same link may come again, for a cursor that stays the same while the
   * server moves on. `none`: neither; then `pagesMax` is all that ends a circle.
   */
  readonly progress?: 'both' | 'links' | 'records' | 'none';
  /** The records of a page. Default: the JSON array that it is or, in an object, the only array; else the whole content. */
  readonly recordsOf?: (answer: HttpAnswer) => readonly unknown[];
  /** Pages without a record, such as those of a filter that finds nothing there, that may come in a row. Default 100. */
  readonly emptyMax?: number;
  /** Keys of the records of a page. One that an earlier page already had means that records moved meanwhile: `pages_moved`. */
  readonly keysOf?: (answer: HttpAnswer) => Iterable<string>;
}

const PAGES_MAX = 10_000;
const EMPTY_MAX = 100;

/** Gives page after page. Throws what the calls throw, `left_origin`, `paging_stuck` and `pages_moved`. */
export async function* pagesOf(
  key: string,
  first: URL,
  how: {
    readonly get: (url: URL, page: number) => Promise<HttpAnswer>;
    readonly next: Next;
    readonly follow: (link: string, from: URL, page: number) => URL;
    readonly rules: PageRules;
  },
): AsyncGenerator<HttpAnswer, void, undefined> {
  const { pagesMax = PAGES_MAX, progress = 'both', keysOf } = how.rules;
  const seen = new Set<string>();
  const keys = new Set<string>();
  const look = lookAtPages(how.rules);
  const stuck = (what: string): CodedError =>
    new CodedError(
      'paging_stuck',
      `${key} ${what}. The pages read so far are not complete; nothing of them may be used. If that is how it pages, declare it (\`progress\`, \`emptyMax\`, \`pagesMax\`).`,
      { upstream: key },
    );
  let url: URL | undefined = first;
  for (let page = 1; url !== undefined; page++) {
    if (page > pagesMax) throw stuck(`has a page after the last of ${pagesMax} that are read`);
    if ((progress === 'both' || progress === 'links') && seen.has(url.href))
      throw stuck(`leads from page ${page - 1} back to a page that was read before`);
    seen.add(url.href);
    const answer: HttpAnswer = await how.get(url, page);
    const wrong = look(answer, page);
    if (wrong !== undefined) throw stuck(wrong);
    if (keysOf) noteKeys(key, keys, new Set(keysOf(answer)), page);
    yield answer;
    const link = how.next(answer, page);
    url = link === undefined ? undefined : how.follow(link, new URL(answer.url), page);
  }
}

/** Says what is wrong with a page by those before it. */
function lookAtPages(rules: PageRules): (answer: HttpAnswer, page: number) => string | undefined {
  const { progress = 'both', emptyMax = EMPTY_MAX, recordsOf } = rules;
  let before: string | undefined;
  let empty = 0;
  return (answer, page) => {
    const records = recordsOf ? recordsOf(answer) : recordsIn(answer);
    const isEmpty = records === undefined ? answer.bytes.length === 0 : records.length === 0;
    empty = isEmpty ? empty + 1 : 0;
    if (empty > emptyMax) return `gives ${empty} pages without a record in a row, up to page ${page}`;
    if (progress === 'links' || progress === 'none') return undefined;
    const content = records === undefined ? answer.bytes.toString('latin1') : writeJson(records)!;
    const isSame = !isEmpty && content === before;
    before = content;
    return isSame ? `gives the records of page ${page - 1} again as page ${page}` : undefined;
  };
}

/** Undefined for what is no JSON, or an object with no array or with several. */
function recordsIn(answer: HttpAnswer): readonly unknown[] | undefined {
  let value: unknown;
  try {
    value = answer.json();
  } catch {
    return undefined; // It was asked for as text or bytes; its caller knows what it is.
  }
  if (Array.isArray(value)) return value;
  const arrays = Object.values(value ?? {}).filter((one) => Array.isArray(one));
  return arrays.length === 1 ? (arrays[0] as unknown[]) : undefined;
}

/** A key twice on one page is the page's own affair; on two pages it says that the list moved under the reader. */
function noteKeys(key: string, known: Set<string>, found: ReadonlySet<string>, page: number): void {
  for (const one of found)
    if (known.has(one))
      throw new CodedError(
        'pages_moved',
        `${key} gives a record on page ${page} that an earlier page had, so others may be missing. The pages are read again from the first.`,
        { upstream: key },
      );
  for (const one of found) known.add(one);
}
