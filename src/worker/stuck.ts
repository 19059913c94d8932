// What lives here: the end of a worker whose own code lets it do nothing else: an endless loop, a computation of minutes.
// Invariant: the watching thread counts its own turns, so a machine that was asleep or a process that was stopped ends no worker.
// Apart because whoever is stuck can neither see nor say it, and what looks from outside sees a process that lives.
import { setInterval as every } from 'node:timers';
import { startThread } from '../flow/read/start-thread.ts';

/** Given to the thread. */
export interface Watched {
  /** Grows by one each turn while this process does its work. */
  readonly turns: SharedArrayBuffer;
  readonly turnMs: number;
  /** So many turns without one of the other thread, and the process ends. */
  readonly turnsMax: number;
}

const TURNS = 30;

/** Kills this process when its main thread has done nothing for `stuckMs`, after a line on standard error that says where it is. Returns how to end the watch. */
export function watchStuck(stuckMs: number): () => void {
  const turns = new SharedArrayBuffer(4);
  const turnMs = stuckMs / TURNS;
  const workerData: Watched = { turns, turnMs, turnsMax: TURNS };
  const thread = startThread(new URL('./stuck-thread', import.meta.url), { workerData, name: 'mendflow stuck' });
  thread.unref();
  const timer = every(() => Atomics.add(new Int32Array(turns), 0, 1), turnMs);
  timer.unref();
  return () => {
    clearInterval(timer);
    void thread.terminate();
  };
}
