// What lives here: starting a run by its identity, so that ten starts are one run.
// Invariant: the ledger says what is finished, Temporal what is under way; other inputs than those of the run are refused by name, never dropped.
// Apart from the command because a script, a test and later a schedule start runs in just this way.
import {
  WorkflowExecutionAlreadyStartedError,
  type WorkflowHandle,
  type WorkflowStartOptions,
} from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import type { Connected } from '../../connect.ts';
import { reconcileSearchAttributes } from '../../engine/search-attributes.ts';
import { queues, runKey, scopeOf, workflowId } from '../../model/ids.ts';
import type { RunArgs } from '../../model/messages.ts';
import { runbookNamed } from '../../model/runbook.ts';
import type { AnySpec } from '../../model/spec.ts';
import { shellWord } from '../../model/shell.ts';
import { findRun, type RunRow } from '../../store/reads.ts';
import { CommandError } from './exit-codes.ts';
import { differences, inputHash, type Inputs } from './inputs.ts';
import { doneAlready } from './report.ts';

export interface Wanted {
  readonly spec: AnySpec;
  readonly dataDate: string;
  readonly input: Inputs;
  readonly force: boolean;
  readonly prefix: string;
}

export type Launched = { readonly run: string; readonly workflowId: string } & (
  | { readonly how: 'already-done'; readonly row: RunRow }
  | { readonly how: 'started'; readonly handle: WorkflowHandle; readonly startedAt: number }
  | {
      readonly how: 'attached';
      readonly handle: WorkflowHandle;
      readonly startedAt: number;
      /** Somebody paused it, so nothing of it goes on. */
      readonly paused: boolean;
    }
);
export type Attached = Extract<Launched, { how: 'attached' }>;

const keys = {
  pipeline: defineSearchAttributeKey('PipelineName', SearchAttributeType.KEYWORD),
  health: defineSearchAttributeKey('PipelineHealth', SearchAttributeType.KEYWORD),
  dataDate: defineSearchAttributeKey('DataDate', SearchAttributeType.KEYWORD),
  dataSource: defineSearchAttributeKey('DataSource', SearchAttributeType.KEYWORD),
};

/** Throws `refused`, naming the inputs that differ, if the run exists with others. */
export async function launch({ client, connection, control }: Connected, wanted: Wanted): Promise<Launched> {
  const { spec, dataDate, input } = wanted;
  const run = runKey(spec.name, dataDate, scopeOf(spec, input));
  const id = workflowId(wanted.prefix, run);
  const row = await findRun(control, run);
  if (row && (row.state === 'done' || row.state === 'degraded') && !wanted.force) {
    refuseOtherInputs(
      run,
      row.input,
      input,
      `is ${doneAlready(row)}${row.state === 'degraded' ? ',' : ''}`,
      '`--force` processes it again, with the inputs you gave',
    );
    return { how: 'already-done', run, workflowId: id, row };
  }
  const start = async (): Promise<WorkflowHandle> => client.workflow.start(spec.name, optionsOf(wanted, run, id));
  try {
    const handle = await start().catch(async (error: unknown) => {
      // A cluster that no worker has seen yet does not know our search attributes.
      if (!/search attribute/i.test(detailsOf(error))) throw error;
      await reconcileSearchAttributes(connection, client.options.namespace);
      return await start();
    });
    return { how: 'started', run, workflowId: id, handle, startedAt: Date.now() };
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
  const handle = client.workflow.getHandle(id);
  const found = await handle.describe();
  const memo = found.memo as { inputHash?: string; input?: Inputs } | undefined;
  if (memo?.inputHash !== inputHash(input))
    refuseOtherInputs(
      run,
      memo?.input ?? row?.input ?? null,
      input,
      'is under way',
      `\`mendflow show ${shellWord(run)}\` says how far it is; abort it first if it is wrong`,
    );
  const paused = found.status.name === 'PAUSED';
  return { how: 'attached', run, workflowId: id, handle, startedAt: 0, paused };
}

function refuseOtherInputs(
  run: string,
  there: Readonly<Record<string, unknown>> | null,
  here: Inputs,
  state: string,
  next: string,
): void {
  const named = there === null ? ['what they are there is not known'] : differences(there, here);
  if (named.length === 0) return;
  throw new CommandError(
    'refused',
    `${run} ${state} with other inputs: ${named.join('; ')}. Nothing was started or changed; ${next}.`,
  );
}

function optionsOf({ spec, dataDate, input, force, prefix }: Wanted, run: string, id: string): WorkflowStartOptions {
  const args: RunArgs = { dataDate, input, scope: scopeOf(spec, input), ...(force ? { force } : {}) };
  const runbook =
    spec.runbook === undefined ? 'by code, in ops/runbooks of the package mendflow' : runbookNamed(spec.runbook);
  const howTo = `When it asks: npx mendflow show ${shellWord(run)}. Or send a signal: resume, skip, abort, decide.`;
  return {
    workflowId: id,
    taskQueue: queues(prefix).work,
    args: [args],
    memo: { owner: spec.owner, runbook, about: spec.about ?? '', howTo, inputHash: inputHash(input), input },
    typedSearchAttributes: [
      { key: keys.pipeline, value: spec.name },
      { key: keys.health, value: 'healthy' },
      { key: keys.dataDate, value: dataDate },
      { key: keys.dataSource, value: 'live' },
    ],
    staticSummary: `${run}, owner ${spec.owner}`.slice(0, 200),
    staticDetails: [
      ...(spec.about === undefined ? [] : [spec.about, '']),
      `- Owner: **${spec.owner}**`,
      `- Runbook: ${runbook}`,
      `- When it asks: \`npx mendflow show ${shellWord(run)}\` has the question and the ready commands. Here in the Web UI the signals \`resume\`, \`skip\`, \`abort\` and \`decide\` do the same.`,
    ].join('\n'),
    workflowIdConflictPolicy: 'FAIL',
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
  };
}

/** gRPC keeps the server's sentence in the cause. */
function detailsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.message} ${error.cause instanceof Error ? error.cause.message : ''}`;
}
