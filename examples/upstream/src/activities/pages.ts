// The orders of a day from a shop that gives them page by page.
import type { HttpAnswer, HttpClient } from 'mendflow/flow';
import type { StageContext } from 'mendflow/worker';

const PER_PAGE = 100;

/** For a `fetch` of several pages: `for await (const one of ordersOf(service, ctx)) await landing.put(one);` */
export async function* ordersOf(service: HttpClient, ctx: StageContext): AsyncGenerator<unknown> {
  // Where page `page + 1` is: a link as the answer gives it, absolute or relative to the answer's URL; undefined after the last page.
  const next = (answer: HttpAnswer, page: number): string | undefined =>
    (answer.json() as readonly unknown[]).length < PER_PAGE ? undefined : `?date=${ctx.dataDate}&page=${page + 1}`;
  const query = { date: ctx.dataDate, page: 1 }; // of the first page; `next` writes the others
  // An async generator of whole answers. A page that fails ends the read with its error, which names the page.
  for await (const answer of service.pages('/shop-orders', next, { ...ctx, query, pagesMax: 500 }))
    yield* answer.json() as readonly unknown[];
}
