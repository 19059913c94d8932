// What lives here: whose calls these are: the run and stage in whose name a connector calls.
// Invariant: said once around the work, known in everything it awaits; a call that nobody stands behind has no caller.
// Apart because breakers have to tell one caller's repeats from the failures of many, and connectors know nothing of stages.
import { AsyncLocalStorage } from 'node:async_hooks';

const current = new AsyncLocalStorage<string>();

export const withCaller = <T>(caller: string, body: () => Promise<T>): Promise<T> => current.run(caller, body);

/** Run and stage, or undefined outside of one. */
export const callerNow = (): string | undefined => current.getStore();
