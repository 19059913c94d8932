// What lives here: many pipelines as one workflow entry. Temporal calls it with the pipeline's name as the workflow type.
// Invariant: a name that is no pipeline fails the run with a sentence instead of leaving it without an answer.
// Apart because the worker's bundle, the CLI and `check` all read the same list.
import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';
import type { RunArgs, RunSummary } from '../../model/messages.ts';
import { type AnySpec, faultsOf } from '../../model/spec.ts';
import { recover, type RecoveryArgs } from './recovery.ts';
import { keepWatch, type WatchArgs } from './watch.ts';

interface AnyPipeline {
  (args: RunArgs): Promise<RunSummary>;
  readonly spec: unknown;
}

export interface Registry {
  /** A pipeline's run; under the names that are reserved for them, the workflows that heal. */
  (args: RunArgs): Promise<RunSummary | undefined>;
  readonly specs: readonly AnySpec[];
}

/** Workflows of Mendflow itself: every worker serves them beside its pipelines. */
const healers: Readonly<Record<string, (args: unknown) => Promise<undefined>>> = {
  breaker: (args) => recover(args as RecoveryArgs),
  watch: (args) => keepWatch(args as WatchArgs),
};

/** `export default pipelines(logIngest, dailyReport)` in workflows/index.ts. Throws at boot on a wrong spec or a name used twice. */
export function pipelines(...all: readonly AnyPipeline[]): Registry {
  const specs = all.map((one) => one.spec as AnySpec);
  const faults = specs.flatMap(faultsOf);
  for (const [index, spec] of specs.entries())
    if (specs.findIndex((other) => other.name === spec.name) !== index)
      faults.push(`Two pipelines are called "${spec.name}".`);
  if (faults.length > 0)
    throw new TypeError(`The pipelines cannot be served:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`);
  const run = async (args: RunArgs): Promise<RunSummary | undefined> => {
    const name = workflowInfo().workflowType;
    if (Object.hasOwn(healers, name)) return await healers[name]!(args);
    const found = all[specs.findIndex((spec) => spec.name === name)];
    if (!found)
      throw ApplicationFailure.nonRetryable(
        `This worker serves no pipeline "${name}". It serves: ${specs.map((spec) => spec.name).join(', ')}.`,
        'config_invalid',
      );
    return await found(args);
  };
  return Object.assign(run, { specs });
}
