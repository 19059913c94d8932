import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flow, json, lines, parse, table } from '../../src/flow/index.ts';
import { RAW_BYTES_MAX, type Reject } from '../../src/flow/types.ts';
import { balance } from '../../src/store/balance.ts';
import { inTransaction, withClient } from '../../src/store/db.ts';
import { ensureRun } from '../../src/store/ensure-run.ts';
import { groupLetters, insertLetters, letterId, listLetters, showLetter } from '../../src/store/letters.ts';
import { lettersByState } from '../../src/store/reads.ts';
import { createSealer } from '../../src/store/seal.ts';
import { insertSource } from '../../src/store/sources.ts';
import { contextOf, sealer, testSink } from '../flow/memory.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
let key: { runKey: string; generation: number; stage: string; sourceId: string };
beforeAll(async () => {
  sink = await testSink();
  await ensureRun(sink.pool, { runKey: 'test/2026-11-21', pipeline: 'test', dataDate: '2026-11-21', generation: 1 });
  const { id } = await insertSource(sink.pool, { pipeline: 'test', name: Buffer.from([0xff, 0xfe, 0x2f, 0x61]) });
  key = { runKey: 'test/2026-11-21', generation: 1, stage: 'load[a.log]', sourceId: id };
});
afterAll(() => sink.end());

const rejectOf = (offset: number, raw: Uint8Array, message = 'bad', more: Partial<Reject> = {}): Reject => ({
  offset,
  length: raw.byteLength + 1,
  line: 1,
  raw,
  rawWhole: true,
  rawSha256: createHash('sha256').update(raw).digest(),
  code: 'record_invalid',
  violations: [{ field: 'f', code: 'c', message }],
  ...more,
});

const write = (rejects: readonly Reject[], sample = false): Promise<void> =>
  withClient(sink.pool, (client) =>
    inTransaction(client, () => insertLetters(client, key, rejects, { seal: sealer, sample })),
  );

const nasty = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc
    .constantFrom('\0', '\ud800', '\udfff\ud800', "'; drop table x; --", '\\x00', 'é'.repeat(100), '{"a":"\\u0000"}')
    .map((text) => Buffer.from(text, 'utf16le')),
  fc.constantFrom(Buffer.alloc(RAW_BYTES_MAX, 0xff), Buffer.alloc(0), Buffer.from([0x0a, 0x0d, 0x00])),
);
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.constantFrom('\ud800 alone', 'nul \0 inside', 'x'.repeat(6_000)),
);

describe('a letter', () => {
  it('can be made of any bytes, any texts and any codes, and gives back exactly what it was made of', async () => {
    let offset = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(nasty, anyText, anyText, anyText), { minLength: 1, maxLength: 5 }),
        async (records) => {
          const rejects = records.map(([raw, field, code, message]) =>
            rejectOf((offset += 100_000), raw, message, { code, violations: [{ field, code, message }] }),
          );
          await write(rejects);
          for (const reject of rejects) {
            const shown = (await showLetter(sink.pool, letterId(key.sourceId, reject.offset, key.stage), sealer))!;
            expect(Buffer.compare(shown.raw, Buffer.from(reject.raw))).toBe(0);
            expect(shown.violations[0]!.message).toBe(JSON.parse(JSON.stringify(reject.violations[0]!.message)));
            expect(shown.rawWhole).toBe(true);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('keeps nothing of the record in the clear', async () => {
    await write([rejectOf(1, Buffer.from('SECRET-CANARY'), 'invalid input "SECRET-CANARY"')]);
    const { rows } = await sink.pool.query<{ all: string }>(`select l::text as all from mendflow.dead_letter l`);
    const everything = rows.map(({ all }) => all).join('\n');
    expect(everything).not.toContain('SECRET-CANARY');
    expect(everything).not.toContain(Buffer.from('SECRET-CANARY').toString('hex'));
  });

  it('is one, however often its record is read, and a sample becomes a letter when its record is accounted for', async () => {
    const offset = 77_777_777_777_777;
    await write([rejectOf(offset, Buffer.from('once'))], true);
    await write([rejectOf(offset, Buffer.from('once'), 'said better')]);
    await write([rejectOf(offset, Buffer.from('once'), 'said better')], true);
    const { rows } = await sink.pool.query('select sample from mendflow.dead_letter where off = $1', [offset]);
    expect(rows).toEqual([{ sample: false }]);
    const shown = await showLetter(sink.pool, letterId(key.sourceId, offset, key.stage).slice(0, 13), sealer);
    expect(shown?.violations[0]?.message).toBe('said better');
  });

  it('is capped at 64 KiB and says so', async () => {
    const huge = Buffer.alloc(RAW_BYTES_MAX + 5, 0x61);
    await write([rejectOf(88_888, huge)]);
    const shown = (await showLetter(sink.pool, letterId(key.sourceId, 88_888, key.stage), sealer))!;
    expect([shown.raw.byteLength, shown.rawWhole, shown.length]).toEqual([RAW_BYTES_MAX, false, huge.byteLength + 1]);
    expect(shown.rawSha256).toBe(createHash('sha256').update(huge).digest('hex'));
  });

  it('does not open under another key, another name or after a change', async () => {
    const other = createSealer([{ id: 'other', key: Buffer.alloc(32, 3) }]);
    const sealed = sealer.seal(Buffer.from('value'), 'a raw');
    expect(() => other.open(sealed, 'a raw', 'test')).toThrow(/does not have/);
    expect(() => sealer.open(sealed, 'b raw', 'test')).toThrow(/does not open/);
    for (let at = 0; at < sealed.byteLength; at++) {
      const changed = Buffer.from(sealed);
      changed[at]! ^= 1;
      if (at > 0) expect(() => sealer.open(changed, 'a raw', 'test')).toThrow(/does not open/);
    }
    const rotated = createSealer([
      { id: 'new', key: Buffer.alloc(32, 4) },
      { id: 'test', key: Buffer.alloc(32, 9) },
    ]);
    expect(rotated.open(sealed, 'a raw', 'test').toString()).toBe('value');
    expect(() => createSealer([{ id: 'short', key: Buffer.alloc(16) }])).toThrow(/32/);
  });

  it('hashes equal business keys equally, and differently under another key', () => {
    const other = createSealer([{ id: 'other', key: Buffer.alloc(32, 3) }]);
    expect(sealer.hash(Buffer.from('ada'))).toEqual(sealer.hash(Buffer.from('ada')));
    expect(sealer.hash(Buffer.from('ada'))).not.toEqual(other.hash(Buffer.from('ada')));
  });

  it('is listed with the name of its source, also if that is no UTF-8, and grouped by what is wrong', async () => {
    const [line] = await listLetters(sink.pool, { runKey: key.runKey, limit: 1 });
    expect(line).toMatchObject({ source: '\\377\\376/a', runKey: key.runKey, stage: 'load', state: 'open' });
    const groups = await groupLetters(sink.pool, key.runKey);
    expect(groups.find(({ code }) => code === 'record_invalid')!.letters).toBeGreaterThan(1);
  });
});

describe('the letters of a run', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mendflow-letters-'));
  const path = join(folder, 'items');
  writeFileSync(path, '{"v":"a"}\nbad 1\n{"v":"c"}\nbad 2\n{"v":"d"}\n');
  afterAll(() => rmSync(folder, { recursive: true }));

  /** Reads the source into a table as this generation of a run. */
  async function read(runKey: string, more: { generation?: number; into?: string; takes?: string } = {}) {
    const { generation = 1, into = 'one', takes } = more;
    await sink.pool.query(
      `insert into mendflow.run (key, pipeline, data_date, scope, generation) values ($1, 'test', '2026-11-21', $1, $2) on conflict (key) do update set generation = $2, state = 'running'`,
      [runKey, generation],
    );
    const steps = [parse((text: string) => (text === takes ? { v: text } : json(text)) as { v: string })];
    const flown = flow({ from: lines(path), steps, into: table(into, { v: 'text' }), sink });
    expect(await flown.run(contextOf({ runKey, generation, quarantineShareMax: 1 }))).toMatchObject({ done: true });
  }
  async function told(runKey: string) {
    const list = await listLetters(sink.pool, { runKey });
    const { quarantined, faults } = await balance(sink.pool, runKey);
    const states: Record<string, number> = {};
    for (const { state } of list) states[state] = (states[state] ?? 0) + 1;
    // A list that is cut shows what is still to be done.
    expect(Object.keys(states).toSorted()).toEqual(Object.keys(states));
    expect(await lettersByState(sink.pool, runKey)).toEqual(states);
    expect(faults).toEqual([]);
    return { quarantined, states, of: [...new Set(list.map((one) => one.runKey))] };
  }

  it('are as many as it counts, whoever reads the same records again, finds them good, or loads them elsewhere', async () => {
    for (const name of ['one', 'other'])
      await sink.pool.query(
        `create table ${name} (source_id bigint, "offset" bigint, v text, primary key (source_id, "offset"))`,
      );
    await read('run/a');
    await read('run/elsewhere', { into: 'other' });
    expect(await told('run/a')).toEqual({ quarantined: 2, states: { open: 2 }, of: ['run/a'] });
    await read('run/b', { generation: 2 });
    for (const run of ['run/a', 'run/b'])
      expect(await told(run)).toEqual({ quarantined: 2, states: { open: 2 }, of: ['run/b'] });
    // One of the two is good by now; who counted it bad still lists it, as what it is.
    await read('run/c', { generation: 3, takes: 'bad 1' });
    for (const run of ['run/a', 'run/b'])
      expect(await told(run)).toMatchObject({ quarantined: 2, states: { open: 1, superseded: 1 } });
    expect(await told('run/c')).toEqual({ quarantined: 1, states: { open: 1 }, of: ['run/c'] });
    // The count of generations is each run's own: a second reading may well be later than a third one.
    await read('run/d', { generation: 2, takes: 'bad 2' });
    for (const run of ['run/a', 'run/b'])
      expect(await told(run)).toMatchObject({ quarantined: 2, states: { open: 1, superseded: 1 } });
    expect(await told('run/c')).toEqual({ quarantined: 1, states: { superseded: 1 }, of: ['run/c'] });
    expect(await told('run/d')).toEqual({ quarantined: 1, states: { open: 1 }, of: ['run/d'] });
    expect(await told('run/elsewhere')).toEqual({ quarantined: 2, states: { open: 2 }, of: ['run/elsewhere'] });
  });
});
