// What lives here: what the code of a stage lets fall: rejections that nobody awaits, errors thrown in a callback of its own.
// Invariant: it ends the attempt of the stage that let it fall and of no other one; the process goes on; nothing of its message is told.
// Apart from the guard because the process hears of these outside of any call, and only their asynchronous context says whose they are.
import { AsyncLocalStorage } from 'node:async_hooks';
import { CodedError } from '../../model/failure.ts';
import { classify } from '../../model/classify.ts';
import { placesOf } from '../../flow/places.ts';

/** Whose code runs. A socket that a stage opened and others use later still counts as its own; by then it is over, and only the log tells. */
interface Owner {
  readonly run: string;
  readonly stage: string;
  /** Ends the attempt; undefined once it is over. */
  fail: ((error: CodedError) => void) | undefined;
}

const owners = new AsyncLocalStorage<Owner>();

/** Runs the code of a stage; rejects with `code_bug`, and aborts `fell`, as soon as something that it let fall is heard of, without waiting for its end. */
export async function withStrays<T>(
  { run, stage, fell }: { run: string; stage: string; fell: AbortController },
  body: () => Promise<T>,
): Promise<T> {
  const owner: Owner = { run, stage, fail: undefined };
  const fallen = new Promise<never>((_resolve, reject) => {
    owner.fail = (error) => {
      reject(error);
      fell.abort(error);
    };
  });
  try {
    return await Promise.race([owners.run(owner, body), fallen]);
  } finally {
    owner.fail = undefined;
  }
}

type How = 'rejection' | 'throw';
const words: Readonly<Record<How, string>> = {
  rejection: 'A promise that nobody awaits was rejected',
  throw: 'A callback threw, and nothing was there to catch it',
};

export interface StrayOptions {
  /** Tells the worker's log. Fields hold no word of the error but the name of a code and places in the source. */
  readonly tell: (text: string, fields: Readonly<Record<string, unknown>>) => void;
  /** An error was thrown that belongs to no stage: after that nobody knows what state the process is in. */
  readonly undefinedState: () => void;
}

/**
 * Listens for the whole process, until the returned function is called. A rejection breaks nothing but itself, so the process goes on whoever it belongs to.
 * An error that was thrown into the event loop by a stage's own callback has undone that callback and no more; thrown by anything else it may have left
 * half a step behind anywhere, so the worker is told to end.
 */
export function containStrays({ tell, undefinedState }: StrayOptions): () => void {
  const hear = (how: How, error: unknown): void => {
    const owner = owners.getStore();
    const at = placesOf(error);
    const { code } = classify(error);
    const fields = { ...(owner ? { run: owner.run, stage: owner.stage } : {}), code, at };
    const text = `${words[how]} (${code === 'unknown' ? 'an error that no rule knows' : code}${at[0] === undefined ? '' : `, ${at[0]}`}).`;
    if (owner?.fail) {
      tell(`Stage ${owner.stage} is ended: ${text}`, fields);
      owner.fail(strayError(text, error));
    } else if (owner) tell(`Stage ${owner.stage} was over already, and nothing of it is changed: ${text}`, fields);
    else if (how === 'rejection') tell(`It belongs to no stage, and the worker goes on: ${text}`, fields);
    else {
      tell(`It belongs to no stage, so the worker takes no more work and ends: ${text}`, fields);
      undefinedState();
    }
  };
  const rejected = (error: unknown): void => hear('rejection', error);
  const thrown = (error: unknown): void => hear('throw', error);
  process.on('unhandledRejection', rejected);
  process.on('uncaughtException', thrown);
  return () => {
    process.off('unhandledRejection', rejected);
    process.off('uncaughtException', thrown);
  };
}

/** With the stack of what fell, so that the place of the mistake is told and not that of this file. */
function strayError(text: string, from: unknown): CodedError {
  const error = new CodedError('code_bug', `${text} Await it, or catch it where it happens.`);
  if (from instanceof Error && typeof from.stack === 'string') {
    const at = from.stack.indexOf(from.message);
    if (at !== -1) error.stack = `${error.name}: ${error.message}${from.stack.slice(at + from.message.length)}`;
  }
  return error;
}
