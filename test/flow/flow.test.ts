import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { flow, json, parse, provideSink, table, transform, validate } from '../../src/flow/index.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { contextOf, lines, memorySource, testSink } from './memory.ts';

const into = table('orders', { id: 'bigint', paid: 'numeric', note: 'text', data_date: 'date', generation: 'integer' });
const schema = z.object({
  id: z.number().int(),
  paid: z.string().regex(/^\d+\.\d\d$/),
  note: z.string().max(20).optional(),
});
const steps = [
  parse(json),
  validate(schema),
  transform((order: z.infer<typeof schema>) => (order.note === 'skip me' ? null : order)),
];

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
});
afterAll(() => sink.end());
beforeEach(() =>
  sink.pool.query(
    `drop table if exists orders; create table orders (source_id bigint, "offset" bigint, id bigint, paid numeric, note text, data_date date, generation int, primary key (source_id, "offset"))`,
  ),
);

const order = (index: number): string => JSON.stringify({ id: index, paid: `${index}.50`, note: 'n' });
const stored = async () =>
  (
    await sink.pool.query<{ id: string; note: string; generation: number; xmin: string; day: string }>(
      `select id, note, generation, xmin::text, data_date::text as day from orders order by "offset"`,
    )
  ).rows;

describe('a flow', () => {
  it('reads as its user writes it, with the sink that the worker provided', async () => {
    provideSink(sink);
    const end = await flow({ from: memorySource(lines(50, order)), steps, into }).run(contextOf({ runKey: 'r/plain' }));
    provideSink(undefined);
    expect(end).toEqual({ done: true, out: { read: 50, loaded: 50, duplicate: 0, quarantined: 0, skipped: 0 } });
    expect((await stored())[3]).toMatchObject({ id: '3', note: 'n', generation: 1, day: '2026-11-21' });
    await expect(flow({ from: memorySource(''), steps, into }).run(contextOf())).rejects.toMatchObject({
      failure: { code: 'config_invalid' },
    });
  });

  it('tells of a bad record all that is wrong with it, leaves out what is skipped, and loads the rest', async () => {
    const content = [
      '{"id":1.5,"paid":"x"}',
      order(2),
      'no json',
      '{"id":3,"paid":"1.00","note":"skip me"}',
      '{"id":4,"paid":"1.00","note":"nul \\u0000"}',
      '{"id":90071992547409931,"paid":"1.00"}',
      '',
    ].join('\n');
    const end = await flow({ from: memorySource(content), steps, into, sink }).run(contextOf({ runKey: 'r/bad' }));
    expect(end).toMatchObject({ out: { read: 6, loaded: 1, quarantined: 4, skipped: 1 } });
    const { rows } = await sink.pool.query<{ id: string; line: string; detail: Buffer; code: string }>(
      `select id, line_no as line, detail, code from mendflow.dead_letter where run_key = 'r/bad' order by off`,
    );
    const violations = rows.map(
      ({ id, detail }) =>
        (
          JSON.parse(sink.seal.open(detail, `${id} detail`, 'test').toString()) as {
            violations: { field: string; code: string }[];
          }
        ).violations,
    );
    expect(rows.map(({ line }) => Number(line))).toEqual([1, 3, 5, 6]);
    expect(violations[0]!.map(({ field }) => field)).toEqual(['id', 'paid']);
    expect(violations.slice(1).map(([first]) => first!.code)).toEqual(['unparsable', 'text_nul', 'invalid_type']);
  });

  it('is never stopped by bytes: NUL, invalid UTF-8, control characters, one endless line, no newline at the end', async () => {
    const content = Buffer.concat([
      Buffer.from([0, 0xff, 0xfe, 10, 0xc3, 0x28, 10, 13, 10]),
      Buffer.alloc(300_000, 0x5b),
      Buffer.from(`\n${order(1)}`),
    ]);
    const end = await flow({ from: memorySource(content), steps, into, sink }).run(contextOf({ runKey: 'r/bytes' }));
    expect(end).toMatchObject({ done: true, out: { read: 5, loaded: 1, quarantined: 4 } });
    expect(await closeRun(sink.pool, 'r/bytes')).toMatchObject({ balanced: true });
  });

  it('ends its segment in time with what is committed, and goes on from there', async () => {
    const job = flow({ from: memorySource(lines(3_000, order)), steps, into, sink, recordsMax: 500, lanes: 1 });
    const first = await job.run(contextOf({ runKey: 'r/segments', segmentMs: 0 }));
    expect(first).toEqual({ done: false, at: expect.stringMatching(/^offset \d+ of \d+$/) as string });
    expect(await stored()).toHaveLength(500);
    const chunks: number[] = [];
    const end = await job.run(contextOf({ runKey: 'r/segments', onChunk: ({ from }) => void chunks.push(from) }));
    expect(end).toMatchObject({ done: true, out: { loaded: 3_000 } });
    expect(chunks).toHaveLength(5);
    expect(await job.run(contextOf({ runKey: 'r/segments', onChunk: () => chunks.push(-1) }))).toEqual(end);
    expect(chunks).toHaveLength(5);
  });

  it('stops between chunks when it is told to', async () => {
    const stop = new AbortController();
    const job = flow({ from: memorySource(lines(3_000, order)), steps, into, sink, recordsMax: 500, lanes: 1 });
    const first = await job.run(contextOf({ runKey: 'r/aborted', signal: stop.signal, onChunk: () => stop.abort() }));
    expect(first).toMatchObject({ done: false });
    expect(await stored()).toHaveLength(500);
  });

  it('gives up the rest unread when an operator accepts its loss', async () => {
    const job = flow({ from: memorySource(lines(2_000, order)), steps, into, sink, recordsMax: 500, lanes: 1 });
    await job.run(contextOf({ runKey: 'r/loss', segmentMs: 0 }));
    const end = await job.run(contextOf({ runKey: 'r/loss', acceptLoss: { actor: 'ada', reason: 'test data' } }));
    expect(end).toMatchObject({ done: true, out: { read: 500, loaded: 500 } });
    const closed = await closeRun(sink.pool, 'r/loss');
    expect(closed.balanced).toBe(true);
    expect(closed.uncountedBytes).toBeGreaterThan(0);
    const { rows } = await sink.pool.query<{ reason: string }>(
      `select reason from mendflow.chunk where run_key = 'r/loss' and not counted`,
    );
    expect(rows).toEqual([
      { reason: expect.stringMatching(/^loss accepted by ada, from offset \d+: test data$/) as string },
    ]);
  });

  it('fails as a whole, with the code of the failure, when the reader breaks', async () => {
    const good = memorySource(lines(3_000, order));
    const broken = {
      openRecords: async (...of: Parameters<typeof good.openRecords>) => {
        const opened = await good.openRecords(...of);
        return {
          ...opened,
          async *records(...range: Parameters<typeof opened.records>) {
            let count = 0;
            for await (const record of opened.records(...range)) {
              if (++count === 1_700) throw Object.assign(new Error('read'), { code: 'EIO', syscall: 'read' });
              yield record;
            }
          },
        };
      },
    };
    await expect(
      flow({ from: broken, steps, into, sink, recordsMax: 500 }).run(contextOf({ runKey: 'r/eio' })),
    ).rejects.toMatchObject({ code: 'EIO' });
    expect(await stored()).toHaveLength(1_500);
    expect(await flow({ from: good, steps, into, sink }).run(contextOf({ runKey: 'r/eio' }))).toMatchObject({
      out: { loaded: 3_000 },
    });
  });

  it('says so when the source holds less than was planned', async () => {
    const good = memorySource(lines(100, order), 'shrunk');
    await flow({ from: good, steps, into, sink, recordsMax: 10, lanes: 1 }).run(
      contextOf({ runKey: 'r/shrunk', segmentMs: 0 }),
    );
    const less = flow({ from: memorySource(lines(50, order), 'shrunk'), steps, into, sink }).run(
      contextOf({ runKey: 'r/shrunk' }),
    );
    await expect(less).rejects.toMatchObject({ failure: { code: 'source_shrunk' } });
  });
});

describe('loading again (generation 2)', () => {
  const content = lines(200, (index) => (index === 7 ? 'broken' : order(index)));
  const first = async (runKey: string) => {
    const from = memorySource(content, runKey);
    await flow({ from, steps, into, sink }).run(contextOf({ runKey }));
    return from;
  };
  const again = (runKey: string, of?: 'rows_fewer') =>
    contextOf({ runKey, generation: 2, ...(of ? { acceptLoss: { actor: 'ada', reason: 'meant so', of } } : {}) });

  it('changes no row where nothing changed', async () => {
    const from = await first('f/same');
    const before = await stored();
    const end = await flow({ from, steps, into, sink, recordsMax: 30 }).run(again('f/same'));
    expect(end).toMatchObject({ out: { read: 200, loaded: 0, duplicate: 199, quarantined: 1 } });
    expect(await stored()).toEqual(before);
  });

  it('updates what is meant otherwise now, removes what is not produced any more, and brings back what was missing', async () => {
    const from = await first('f/changed');
    await sink.pool.query('delete from orders where id = 50');
    const now = [
      parse(json),
      validate(schema),
      transform((row: z.infer<typeof schema>) =>
        row.id === 60 ? null : { ...row, note: row.id === 70 ? 'new' : row.note },
      ),
    ];
    const end = await flow({ from, steps: now, into, sink, recordsMax: 30 }).run(again('f/changed', 'rows_fewer'));
    expect(end).toMatchObject({ out: { read: 200, loaded: 2, duplicate: 196, quarantined: 1, skipped: 1 } });
    const rows = await stored();
    expect(rows).toHaveLength(198);
    expect(rows.filter(({ generation }) => generation === 2).map(({ id, note }) => [id, note])).toEqual([
      ['50', 'n'],
      ['70', 'new'],
    ]);
    expect(rows.some(({ id }) => id === '60')).toBe(false);
  });

  it('closes the letter of a record that is good now', async () => {
    const from = await first('f/healed');
    const lenient = [
      parse((text: string) => (text === 'broken' ? { id: 7, paid: '0.00' } : json(text))),
      validate(schema),
    ];
    await flow({ from, steps: lenient, into, sink }).run(again('f/healed'));
    const { rows } = await sink.pool.query(`select state from mendflow.dead_letter where run_key = 'f/healed'`);
    expect(rows).toEqual([{ state: 'superseded' }]);
    await sink.pool.query(`update mendflow.run set generation = 2 where key = 'f/healed'`);
    expect(await closeRun(sink.pool, 'f/healed')).toMatchObject({ balanced: true, quarantined: 0 });
  });

  it('quarantines what the database refuses, and removes its row of before', async () => {
    const from = await first('f/refused');
    await sink.pool.query(`alter table orders add check (id <> 90) not valid`);
    const end = await flow({ from, steps, into, sink }).run(again('f/refused', 'rows_fewer'));
    expect(end).toMatchObject({ out: { duplicate: 198, quarantined: 2 } });
    expect((await stored()).some(({ id }) => id === '90')).toBe(false);
  });
});
