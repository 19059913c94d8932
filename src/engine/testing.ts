// mendflow/testing: runs a pipeline's order and types with plain functions.
// Invariant: no Temporal, no Postgres, no clock; what passes here is the pipeline's own logic, not its healing.
// Apart because users' tests import it and nothing else of the engine.
import type { Fields, InputOf, Run, Stage, Stages } from '../model/spec.ts';
import { stageKey } from '../model/ids.ts';
import type { Pipeline } from './workflow/pipeline.ts';

/** One plain function for each stage. */
export type Fakes<A> = { [K in keyof A]: A[K] extends (input: infer I) => unknown ? (input: I) => unknown : never };

/** What the body is told; a pipeline without inputs needs none. */
export type RunHere<F extends Fields> = keyof F extends never
  ? { readonly dataDate: string; readonly input?: Run<InputOf<F>>['input'] }
  : Run<InputOf<F>>;

/** Returns what the body returned and the stage keys in the order they were called. A segment's output is unwrapped as on a server. */
export async function runHere<A, F extends Fields, R>(
  one: Pipeline<A, F, R>,
  run: RunHere<NoInfer<F>>,
  fakes: NoInfer<Fakes<A>>,
): Promise<{ result: R; calls: string[] }> {
  const calls: string[] = [];
  const made: Record<string, Stage<unknown, unknown>> = {};
  for (const name of Object.keys(one.spec.stages)) {
    const call = (part: string) => async (input: unknown) => {
      const key = stageKey(name, part);
      if (calls.includes(key))
        throw new TypeError(
          `Stage ${key} was called twice in one run. Give each call a name of its own: ${name}.as(file.name)(…).`,
        );
      calls.push(key);
      const output: unknown = await (fakes as Record<string, (input: unknown) => unknown>)[name]!(input);
      return output !== null && typeof output === 'object' && 'done' in output && 'out' in output ? output.out : output;
    };
    made[name] = Object.assign(call(''), { as: call });
  }
  return { result: await one.spec.run(made as unknown as Stages<A>, { input: {}, ...run } as Run<InputOf<F>>), calls };
}
