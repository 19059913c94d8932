// What is promised here: a read of pages ends, gives each page once, and says so where that cannot be.
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type HttpAnswer, openHttp, type PagesOptions } from '../../../src/connectors/http/index.ts';
import { CodedError } from '../../../src/model/failure.ts';
import type { Upstream } from '../../../src/model/upstream.ts';
import {
  type Arrived,
  end,
  json,
  plainUpstream,
  reset,
  type Script,
  type ScriptServer,
  startScripts,
} from '../../support/http.ts';

const toClose: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of toClose.splice(0)) await one.close();
});

interface Page {
  readonly items: readonly number[];
  readonly next?: string;
}
const bodyOf = (answer: HttpAnswer): Page => answer.json() as Page;

/** Reads all pages of a server; gives the items and how it ended. */
async function read(
  play: (request: Arrived, nth: number) => Script,
  options: PagesOptions = {},
  next = (answer: HttpAnswer): string | undefined => bodyOf(answer).next,
  good?: Upstream['good'],
): Promise<{ items: number[]; code: string; text: string; server: ScriptServer }> {
  const server = await startScripts(play);
  const http = openHttp(
    plainUpstream('http:x', { address: server.address, timeout: '3 seconds', ...(good ? { good } : {}) }),
    {
      readSecret: () => '',
    },
  );
  toClose.push(http, server);
  const items: number[] = [];
  try {
    for await (const page of http.pages('/items?limit=2', next, options)) items.push(...bodyOf(page).items);
    return { items, code: 'ok', text: '', server };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    expect(error.failure.upstream).toBe('http:x');
    return { items, code: error.failure.code, text: error.failure.text, server };
  }
}

const page = (items: readonly number[], next?: string): Script => [
  json(next === undefined ? { items } : { items, next }),
];

describe('U21 pages', () => {
  it('are read to the last, by links and by offsets, over one connection', async () => {
    const links = await read((_, nth) => page([2 * nth, 2 * nth + 1], nth < 4 ? `?cursor=${nth}` : undefined));
    expect(links).toMatchObject({ code: 'ok', items: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] });
    expect(links.server.arrived.map(({ path }) => path)).toEqual([
      '/items?limit=2',
      ...[0, 1, 2, 3].map((nth) => `/items?cursor=${nth}`),
    ]);
    expect(links.server.accepted()).toBe(1);
    const offsets = await read(
      ({ path }) => {
        const from = Number(new URL(path, 'http://x').searchParams.get('offset') ?? 0);
        return page([0, 1, 2, 3, 4].slice(from, from + 2));
      },
      { query: { day: 1 } },
      (answer) =>
        bodyOf(answer).items.length < 2
          ? undefined
          : `/items?limit=2&offset=${Number(new URL(answer.url).searchParams.get('offset') ?? 0) + 2}`,
    );
    expect(offsets).toMatchObject({ code: 'ok', items: [0, 1, 2, 3, 4] });
  });

  it('that fail say which of them did, whatever the failure, and nothing of its link', async () => {
    const third = (bad: Script) => (_: Arrived, nth: number) =>
      nth === 2 ? bad : page([nth], `?cursor=secret-${nth}`);
    for (const [bad, code] of [
      [[json({ oops: 'secret' })], 'answer_refused'],
      [[json({}, { status: '503 Away' })], 'http_503'],
      [['HTTP/1.1 200 OK\r\ncontent-length: 99\r\ncontent-type: application/json\r\n\r\n{', end], 'answer_cut'],
      [[reset], 'net_reset'],
      [page([2], 'http://elsewhere.example/secret'), 'left_origin'],
    ] as const) {
      const found = await read(third(bad), {}, undefined, (answer) => Array.isArray((answer.json() as Page).items));
      expect(found).toMatchObject({ code, items: code === 'left_origin' ? [0, 1, 2] : [0, 1] });
      expect(found.text).toContain('page 3');
      expect(found.text).not.toContain('secret');
    }
  });

  it('that lead in a circle are noticed before the circle is walked again', async () => {
    const round = await read((_, nth) => page([nth], `/items?cursor=${'abc'[nth % 3]}`));
    expect(round).toMatchObject({ code: 'paging_stuck', items: [0, 1, 2, 3] });
    expect(round.server.arrived.length).toBe(4);
    expect((await read((_, nth) => page([nth], '/items?limit=2'))).code).toBe('paging_stuck');
  });

  it('that are the same ones under new links are noticed at the second', async () => {
    let offset = 0;
    const same = await read(
      () => page([1, 2]),
      {},
      () => `?offset=${(offset += 2)}`,
    );
    expect(same).toMatchObject({ code: 'paging_stuck', items: [1, 2] });
    expect(same.server.arrived.length).toBe(2);
  });

  it('without a record in the middle are passed over, up to so many in a row', async () => {
    const holes = (empty: number) => async (more: PagesOptions) =>
      read((_, nth) => page(nth === 0 || nth > empty ? [nth] : [], nth <= empty ? `?cursor=${nth}` : undefined), more);
    expect(await holes(3)({})).toMatchObject({ code: 'ok', items: [0, 4] });
    expect(await holes(100)({})).toMatchObject({ code: 'ok', items: [0, 101] });
    expect(await holes(101)({})).toMatchObject({ code: 'paging_stuck', items: [0] });
    expect(await holes(101)({ emptyMax: 101 })).toMatchObject({ code: 'ok', items: [0, 102] });
    expect(await holes(3)({ emptyMax: 2 })).toMatchObject({ code: 'paging_stuck', items: [0] });
  });

  it('that are nothing but arrays may be empty, too, by Link headers', async () => {
    const server = await startScripts((_, nth) => [
      json(nth === 0 || nth === 4 ? [{ id: nth }] : [], {
        headers: nth < 4 ? [`Link: </p?page=${nth + 2}>; rel="next"`] : [],
      }),
    ]);
    const http = openHttp(plainUpstream('http:x', { address: server.address }), { readSecret: () => '' });
    toClose.push(http, server);
    const found: unknown[] = [];
    const next = ({ headers }: HttpAnswer): string | undefined =>
      /<([^>]+)>; rel="next"/.exec(String(headers['link']))?.[1];
    for await (const one of http.pages('/p', next)) found.push(...(one.json() as unknown[]));
    expect(found).toEqual([{ id: 0 }, { id: 4 }]);
  });

  it('under one cursor are read where that is declared, until nothing new comes', async () => {
    const moving = (_: Arrived, nth: number): Script => page([nth], nth < 5 ? '/items?limit=2' : undefined);
    expect((await read(moving)).code).toBe('paging_stuck');
    expect(await read(moving, { progress: 'records' })).toMatchObject({ code: 'ok', items: [0, 1, 2, 3, 4, 5] });
    const stands = await read(() => page([1], '/items?limit=2'), { progress: 'records' });
    expect(stands).toMatchObject({ code: 'paging_stuck', items: [1] });
    const never = await read(() => page([1], '/items?limit=2'), { progress: 'none', pagesMax: 6 });
    expect(never).toMatchObject({ code: 'paging_stuck', items: [1, 1, 1, 1, 1, 1] });
    const dry = await read(() => page([], '/items?limit=2'), { progress: 'none', emptyMax: 4 });
    expect(dry).toMatchObject({ code: 'paging_stuck', items: [] });
    expect(dry.text).toContain('emptyMax');
  });

  it('are told apart by their records, not by what stands around them', async () => {
    const stamped = (items: readonly number[], nth: number, more: object = {}): Script => [
      json({ items, at: nth, next: nth < 4 ? `?cursor=${nth}` : undefined, ...more }),
    ];
    expect(await read((_, nth) => stamped([1, 2], nth))).toMatchObject({ code: 'paging_stuck', items: [1, 2] });
    // The same numbers each hour are no circle where that is said.
    const equal = await read((_, nth) => stamped([7], nth), { progress: 'links' });
    expect(equal).toMatchObject({ code: 'ok', items: [7, 7, 7, 7, 7] });
    // Two arrays: which one holds the records has to be said.
    const two = (_: Arrived, nth: number): Script => stamped([], nth, { errors: [] });
    expect((await read(two, { emptyMax: 3 })).code).toBe('ok');
    expect((await read(two, { emptyMax: 3, recordsOf: (one) => bodyOf(one).items })).code).toBe('paging_stuck');
  });

  it('without end end at the limit', async () => {
    const endless = await read((_, nth) => page([nth], `?cursor=${nth}`), { pagesMax: 7 });
    expect(endless).toMatchObject({ code: 'paging_stuck', items: [0, 1, 2, 3, 4, 5, 6] });
    expect(endless.text).toContain('7');
  });

  it('that overlap say that records moved', async () => {
    const keysOf = (answer: HttpAnswer): string[] => bodyOf(answer).items.map(String);
    const moved = await read(
      (_, nth) => page([2 * nth, 2 * nth - (nth === 2 ? 1 : -1)], nth < 4 ? `?cursor=${nth}` : undefined),
      { keysOf },
    );
    expect(moved).toMatchObject({ code: 'pages_moved', items: [0, 1, 2, 3] });
  });

  it('do not leave the origin', async () => {
    const away = await read(() => page([1], 'http://evil.example/items?page=2'));
    expect(away).toMatchObject({ code: 'left_origin', items: [1] });
    expect((await read(() => page([1], 'file:///etc/passwd'))).code).toBe('left_origin');
  });

  it('give all items once, or an error, for any graph of links', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(9), { minLength: 1, maxLength: 8 }), async (links) => {
        // Page i leads to page links[i]; a number beyond the last means that it was the last.
        const at = (path: string): number => Number(new URL(path, 'http://x').searchParams.get('p') ?? 0);
        const got = await read(({ path }) => {
          const to = links[at(path)]!;
          return page([at(path)], to < links.length ? `/items?p=${to}` : undefined);
        });
        expect(new Set(got.items).size).toBeGreaterThanOrEqual(got.items.length - 1); // The first page has two names: with and without p=0.
        expect(got.code).toMatch(/^(ok|paging_stuck)$/);
        if (got.code === 'ok') expect(links[got.items.at(-1)!]).toBeGreaterThanOrEqual(links.length);
        for (const one of toClose.splice(0)) await one.close();
      }),
      { numRuns: 60 },
    );
  });
});
