// What is promised here: a run lists the letters that it counts, whatever other runs do with the same file; and each letter says which run has it now.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LetterLine } from '../../src/store/letters.ts';
import type { Engine } from '../support/engine.ts';
import { type LogIngestClient, openLogIngest } from '../support/log-ingest.ts';

let engine: Engine;
let client: LogIngestClient;
let folder: string;
beforeAll(async () => {
  client = await openLogIngest('letters');
  ({ engine, folder } = client);
}, 60_000);
afterAll(() => client?.close());

const good = (from: number, count: number): Buffer =>
  Buffer.from(
    Array.from({ length: count }, (_, nth) => `2026-11-20T08:00:00.000Z INFO [m] line ${from + nth}\n`).join(''),
  );
const bad = Buffer.from([0xff, 0x20, 0x62, 0x0a]);
const log = (badOnes: number): Buffer =>
  Buffer.concat([good(0, 30), ...Array.from({ length: badOnes }, () => bad), good(30, 30)]);

interface Report {
  readonly run: string;
  readonly state: string;
  readonly quarantined: number;
}
/** A folder of its own, in which runs of several dates read the same files. */
function scene(name: string) {
  const path = join(folder, name);
  mkdirSync(path);
  return {
    write: (file: string, content: Buffer) => writeFileSync(join(path, file), content),
    start: async (date: string, ...more: string[]): Promise<string> => {
      const inputs = ['--set', `path=${path}`, 'format=plain', ...more];
      const ran = await client.mendflow('start', 'log-ingest', '--date', date, ...inputs, '--wait', '--json');
      return ran.json<Report>().run;
    },
    async decide(what: string, run: string): Promise<void> {
      expect(await client.mendflow(what, run, '--reason', 'a test')).toMatchObject({ code: 0 });
      await engine.client.workflow
        .getHandle(`${engine.prefix}/${run}`)
        .result()
        .catch(() => undefined);
    },
  };
}

/** What each command says of the letters of a run. */
async function told(run: string) {
  const list = (await client.mendflow('letters', 'list', '--run', run, '--json')).json<LetterLine[]>();
  const page = (await client.mendflow('show', run, '--json')).json<
    Report & { letters: Record<string, number>; faults: string[] }
  >();
  const rows = (await client.mendflow('runs', '--json')).json<Report[]>();
  const row = rows.find((one) => one.run === run)!;
  const states: Record<string, number> = {};
  for (const { state } of list) states[state] = (states[state] ?? 0) + 1;
  // One figure, wherever it is read.
  expect(page.faults).toEqual([]);
  expect(page.letters).toEqual(states);
  expect(row.quarantined).toBe(page.quarantined);
  const letters = list.filter(({ sample }) => !sample);
  expect(letters).toHaveLength(page.quarantined);
  return { state: row.state, quarantined: page.quarantined, states, of: letters.map(({ runKey }) => runKey) };
}

describe('the letters of two runs that read the same file', { timeout: 120_000 }, () => {
  it('are listed for both where the second was aborted and started again', async () => {
    const at = scene('aborted');
    at.write('a.log', log(2));
    const first = await at.start('2026-06-01');
    at.write('b.log', Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(100)]));
    const second = await at.start('2026-06-02');
    expect(await told(second)).toMatchObject({ state: 'asking', quarantined: 0, states: {} });
    await at.decide('abort', second);
    at.write('b.log', good(60, 30));
    await at.start('2026-06-02');
    expect(await told(first)).toEqual({ state: 'done', quarantined: 2, states: { open: 2 }, of: [second, second] });
    expect(await told(second)).toEqual({ state: 'done', quarantined: 2, states: { open: 2 }, of: [second, second] });
  });

  it('are listed for both where the second was forced, and stay with the first where it was not', async () => {
    const at = scene('forced');
    at.write('a.log', log(1));
    const first = await at.start('2026-06-01');
    const second = await at.start('2026-06-02');
    expect(await told(first)).toMatchObject({ states: { open: 1 }, of: [first] });
    expect(await told(second)).toMatchObject({ quarantined: 0, states: {} });
    await at.start('2026-06-02', '--force');
    expect(await told(first)).toMatchObject({ quarantined: 1, states: { open: 1 }, of: [second] });
    expect(await told(second)).toMatchObject({ quarantined: 1, states: { open: 1 }, of: [second] });
    // And back again.
    await at.start('2026-06-01', '--force');
    expect(await told(first)).toMatchObject({ quarantined: 1, states: { open: 1 }, of: [first] });
    expect(await told(second)).toMatchObject({ quarantined: 1, states: { open: 1 }, of: [first] });
  });

  it('are those of what each has read where the file grew in between', async () => {
    const at = scene('grown');
    at.write('a.log', log(1));
    const first = await at.start('2026-06-01');
    at.write('a.log', Buffer.concat([log(1), good(60, 40), bad, bad, good(100, 40)]));
    const second = await at.start('2026-06-02');
    expect(await told(first)).toMatchObject({ quarantined: 1, states: { open: 1 }, of: [first] });
    expect(await told(second)).toMatchObject({ quarantined: 2, states: { open: 2 }, of: [second, second] });
  });

  it('stay with a run that was aborted after it had written them', async () => {
    const at = scene('rest');
    at.write('a.log', log(1));
    at.write('b.log', Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(100)]));
    const first = await at.start('2026-06-01');
    await at.decide('abort', first);
    at.write('b.log', log(2));
    const second = await at.start('2026-06-02');
    expect(await told(first)).toMatchObject({ state: 'aborted', quarantined: 1, of: [first] });
    expect(await told(second)).toMatchObject({ state: 'done', quarantined: 2, of: [second, second] });
  });

  it('are as many as each counts where one accepted the loss and the other read it again', async () => {
    const at = scene('accepted');
    at.write('a.log', log(30));
    const first = await at.start('2026-06-01');
    expect(await told(first)).toMatchObject({ state: 'asking' });
    await at.decide('accept-loss', first);
    const before = await told(first);
    expect(before).toMatchObject({ state: 'degraded' });
    const second = await at.start('2026-06-02', '--force');
    await told(first);
    await told(second);
  });
});
