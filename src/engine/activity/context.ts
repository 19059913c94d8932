// What lives here: `stage()`, what the code of a stage may ask about the attempt it runs in.
// Invariant: available in every activity that was served, also after awaits; nowhere else.
// Apart so that activities import one small thing instead of the guard.
import { AsyncLocalStorage } from 'node:async_hooks';
import type { FlowContext } from '../../flow/context.ts';

/** What a stage's code may know: enough for a flow, and the key that makes side effects idempotent. */
export interface StageContext extends FlowContext {
  /** From 1, extensions and retries counted on; for texts, never for keys. */
  readonly attempt: number;
  /** The same for every attempt of this stage of this run and generation: send it as Idempotency-Key. */
  readonly idempotencyKey: string;
  /** True where an operator said to try now: the context, passed to `upstream.call`, then goes out as the trial of a breaker that is held open. */
  readonly decided?: boolean;
}

const current = new AsyncLocalStorage<StageContext>();

export const withStage = <T>(context: StageContext, body: () => Promise<T>): Promise<T> => current.run(context, body);

/** The stage that runs now. Throws outside of one. */
export function stage(): StageContext {
  const context = current.getStore();
  if (!context)
    throw new TypeError(
      'stage() was called outside of a stage. Call it inside an activity that was served with serve().',
    );
  return context;
}
