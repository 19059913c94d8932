// What lives here: reading page after page until there is none, and noticing when that will never be.
// Invariant: no link is followed twice, the same page is never given twice in a row, and there is a last page.
// Apart because a read of pages is one operation of many calls: what goes wrong between the calls is seen only here.
import { CodedError } from '../../model/failure.ts';
import type { HttpAnswer } from './answer.ts';

/** The link to the next page as the answer gives it, absolute or relative to the answer's URL, or undefined after the last. Pages count from 1. */
export type Next = (answer: HttpAnswer, page: number) => string | undefined;

export interface PageRules {
  /** A read with more pages is `paging_stuck`. Default 10,000. */
  readonly pagesMax?: number;
  /** Keys of the records of a page. One that an earlier page already had means that records moved meanwhile: `pages_moved`. */
  readonly keysOf?: (answer: HttpAnswer) => Iterable<string>;
}

const PAGES_MAX = 10_000;

/** Gives page after page. Throws what the calls throw, `left_origin`, `paging_stuck` and `pages_moved`. */
export async function* pagesOf(
  key: string,
  first: URL,
  how: {
    readonly get: (url: URL) => Promise<HttpAnswer>;
    readonly next: Next;
    readonly follow: (link: string, from: URL) => URL;
    readonly rules: PageRules;
  },
): AsyncGenerator<HttpAnswer, void, undefined> {
  const { pagesMax = PAGES_MAX, keysOf } = how.rules;
  const seen = new Set<string>();
  const keys = new Set<string>();
  const stuck = (what: string): CodedError =>
    new CodedError(
      'paging_stuck',
      `${key} ${what}. The pages read so far are not complete; nothing of them may be used.`,
      {
        upstream: key,
      },
    );
  let url: URL | undefined = first;
  let before: Buffer | undefined;
  for (let page = 1; url !== undefined; page++) {
    if (page > pagesMax) throw stuck(`has a page after the last of ${pagesMax} that are read`);
    if (seen.has(url.href)) throw stuck(`leads from page ${page - 1} back to a page that was read before`);
    seen.add(url.href);
    const answer: HttpAnswer = await how.get(url);
    if (before?.equals(answer.bytes))
      throw stuck(`gives the same ${before.length} bytes as page ${page - 1} and ${page}`);
    before = answer.bytes;
    if (keysOf) noteKeys(key, keys, new Set(keysOf(answer)), page);
    yield answer;
    const link = how.next(answer, page);
    url = link === undefined ? undefined : how.follow(link, new URL(answer.url));
  }
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
