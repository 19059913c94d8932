// What is promised here: whatever code is deployed, the runs of yesterday go on: every kept history replays on the engine of today.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import proto from '@temporalio/proto';
import { Worker } from '@temporalio/worker';
import { describe, expect, it } from 'vitest';
import { decisionKinds } from '../../src/model/messages.ts';
import { bundleOnce } from '../support/bundle.ts';
import { quietRuntime } from '../support/runtime.ts';

const { History } = proto.temporal.api.history.v1;
const folder = join(import.meta.dirname, '..', 'histories');
const names = readdirSync(folder).filter((name) => name.endsWith('.json'));

// What a replay logs is what it then returns.
quietRuntime();

interface Replayed {
  readonly name: string;
  readonly error: string | undefined;
}

async function replay(file: string, wanted: readonly string[]): Promise<Replayed[]> {
  const workflowBundle = await bundleOnce(new URL(file, import.meta.url));
  const histories = wanted.map((name) => ({
    workflowId: name,
    history: History.fromObject(JSON.parse(readFileSync(join(folder, name), 'utf8')) as object),
  }));
  const all: Replayed[] = [];
  for await (const { workflowId, error } of Worker.runReplayHistories({ workflowBundle }, histories))
    all.push({ name: workflowId, error: error?.message });
  return all;
}

describe('the kept histories', () => {
  it('cover every branch, unfinished parked ones too', () => {
    const behaviours = names.map((name) => name.replace(/-v\d+\.json$/, ''));
    expect(behaviours).toEqual(
      expect.arrayContaining([
        'straight',
        'healed',
        'slow-phase',
        'heal-off',
        'already-done',
        'forced',
        'adopted',
        ...decisionKinds.flatMap((kind) => [`asked-${kind}`, `asking-${kind}-unfinished`]),
        'extended-while-working',
        'refused-signals',
        'cancelled-while-parked',
        'aborted-while-working',
        'continued-as-new',
        'carried-unfinished',
        'carried',
        'waiting-unfinished',
        'due-unfinished',
        'two-ask-unfinished',
        'one-of-two-decided-unfinished',
        'two-asked',
        'parked-on-upstream-unfinished',
        'upstream-past-deadline-unfinished',
        'woken-by-upstream',
        'recovery-unfinished',
        'recovery',
        'watch-unfinished',
      ]),
    );
  });

  it('replay on the engine of today', async () => {
    const all = await replay('../histories/pipelines.ts', names);
    expect(all.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(all).toHaveLength(names.length);
  });

  it('do not replay on code that does things in another order', async () => {
    const wanted = ['asking-retry-unfinished-v1.json', 'waiting-unfinished-v1.json', 'straight-v1.json'];
    const all = await replay('../histories/changed.ts', wanted);
    for (const { error } of all) expect(error).toMatch(/nondeterminism/i);
    expect(all).toHaveLength(wanted.length);
  });
});
