// What is promised here: a folder of very many files ends in few stages; a file that fails is still parked and decided by itself, and what is wrong with all is asked once.
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { logIngestActivities } from '../../src/activities/log-ingest.ts';
import { type FileList, handOn, ingestEach } from '../../src/activities/log-ingest-group.ts';
import type { FileRef } from '../../src/connectors/files.ts';
import { withStage } from '../../src/engine/activity/context.ts';
import { serve } from '../../src/engine/worker.ts';
import { type Code, CodedError } from '../../src/model/failure.ts';
import { logIngest } from '../../src/workflows/log-ingest.ts';
import { contextOf, sealer, testSink } from '../flow/memory.ts';
import { type Engine, openEngine } from '../support/engine.ts';

describe('a folder of more files than stages', () => {
  let engine: Engine;
  const folder = mkdtempSync(join(tmpdir(), 'mendflow-many-'));
  beforeAll(async () => {
    engine = await openEngine(() => [
      serve(logIngest, logIngestActivities({ pool: engine.pool, seal: sealer }, { stagesMax: 10 })),
    ]);
    await engine.startWorker('./src/workflows/index.ts');
  });
  afterAll(async () => {
    await engine?.close();
    rmSync(folder, { recursive: true });
  });

  it('is loaded once, and of two files that are gone each asks by itself', async () => {
    const n = 18;
    for (let at = 0; at < n; at++)
      writeFileSync(
        join(folder, `${String(at).padStart(4, '0')}.log`),
        `2026-11-21T10:00:00.000Z INFO [m] file ${at}\n`,
      );
    for (const name of ['0007-gone.log', '0015-gone.log']) symlinkSync('/nowhere', join(folder, name));
    const input = { path: folder, format: 'plain', onRewrite: 'ask' };
    const handle = await engine.start('log-ingest', { input });
    for (const name of ['0007-gone.log', '0015-gone.log']) {
      // Stages of their own stand behind those of the other files.
      await expect
        .poll(() => engine.rows('select 1 from mendflow.parked_run where stage = $1', [`ingest[${name}]`]), {
          timeout: 90_000,
        })
        .toHaveLength(1);
      const { token, code } = await engine.parked(`ingest[${name}]`);
      expect(code).toBe('file_vanished');
      await engine.decide(engine.client.workflow.getHandle(handle.workflowId), { kind: 'skip', token });
    }
    const summary = (await handle.result()) as { state: string; loaded: number; stages: { stage: string }[] };
    expect(summary).toMatchObject({ state: 'done', read: n, loaded: n, balanced: true, result: { files: n + 2 } });
    const stages = await engine.rows<{ stage: string }>(
      `select stage from mendflow.stage_run where stage not like 'mendflow%'`,
    );
    const names = stages.map(({ stage }) => stage.replace(/\d+ to \d+/, 'x to y'));
    expect(names.filter((name) => name === 'group[files x to y]')).toHaveLength(Math.ceil((n + 2) / 2));
    expect(names.filter((name) => name.startsWith('ingest'))).toHaveLength(2);
    const [rows] = await engine.rows<{ n: number; different: number }>(
      'select count(*)::int as n, count(distinct message)::int as different from log_entries',
    );
    expect(rows).toEqual({ n, different: n });
  }, 120_000);
});

describe('files that share a stage', () => {
  let sink: Awaited<ReturnType<typeof testSink>>;
  let files: FileList;
  const bins = { read: 1, loaded: 1, duplicate: 0, quarantined: 0, skipped: 0 };
  beforeAll(async () => {
    sink = await testSink();
    const names: FileRef[] = Array.from({ length: 1_000 }, (_, at) => ({ name: `f${at}`, path: `p${at}` }));
    const landed = await within({}, () => handOn(names, sink));
    if (Array.isArray(landed)) throw new Error('The list was to be a dataset.');
    files = landed;
  });
  afterAll(() => sink.end());

  const within = <T>(more: { attempt?: number; segmentMs?: number }, body: () => Promise<T>): Promise<T> =>
    withStage({ ...contextOf({ stage: 'group' }), attempt: 1, idempotencyKey: 'k', ...more }, body);
  const seen: string[] = [];
  const work = (fails: (at: number) => Code | undefined, more: { attempt?: number; segmentMs?: number } = {}) => {
    seen.length = 0;
    return within(more, () =>
      ingestEach({ list: files.list, from: 10, to: 20 }, sink, (file, ctx) => {
        seen.push(ctx.stage);
        const code = fails(Number(file.name.slice(1)));
        return code === undefined ? Promise.resolve({ done: true, out: bins }) : Promise.reject(new CodedError(code));
      }),
    );
  };

  it('are named as if each had one, and counted together', async () => {
    expect(await work(() => undefined)).toEqual({
      done: true,
      out: { read: 10, loaded: 10, duplicate: 0, quarantined: 0, skipped: 0, apart: [] },
    });
    expect(seen).toEqual(Array.from({ length: 10 }, (_, at) => `ingest[f${at + 10}]`));
    expect(files).toMatchObject({ files: 1_000, groupSize: 5 });
  });

  it.each(['file_vanished', 'source_rewritten', 'quarantine_limit', 'unknown'] as Code[])(
    'hand back the one that fails with %s, and go on',
    async (code) => {
      const end = await work((at) => (at === 13 ? code : undefined));
      expect(end).toMatchObject({ done: true, out: { loaded: 9, apart: [{ name: 'f13', path: 'p13' }] } });
    },
  );

  it('are tried again together while time may heal it, and then not', async () => {
    const busy = (at: number): Code | undefined => (at === 13 ? 'file_busy' : undefined);
    await expect(work(busy)).rejects.toMatchObject({ failure: { code: 'file_busy' } });
    expect(await work(busy, { attempt: 3 })).toMatchObject({ done: true, out: { apart: [{ name: 'f13' }] } });
  });

  it('ask once where it is not the files', async () => {
    await expect(work(() => 'file_forbidden')).rejects.toMatchObject({
      failure: {
        code: 'file_forbidden',
        text: expect.stringMatching(
          /^6 of the first 6 files of this group \(11 to 20\) failed, the last with: /,
        ) as string,
      },
    });
    expect(seen).toHaveLength(6);
  });

  it('end after the time of a segment, and say from where another stage goes on', async () => {
    expect(await work(() => undefined, { segmentMs: -1 })).toMatchObject({ done: true, out: { loaded: 1, next: 11 } });
    expect(seen).toEqual(['ingest[f10]']);
  });
});
