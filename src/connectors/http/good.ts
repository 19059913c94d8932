// What lives here: whether an answer of success is what its upstream declares as good.
// Invariant: of a bad answer nothing is repeated, and its code is one that the declaration names, or `answer_refused`.
// Apart because a status of 200 with an error inside is content, and content is the upstream's own to explain.
import { CodedError } from '../../model/failure.ts';
import type { Good } from '../../model/upstream.ts';
import type { HttpAnswer } from './answer.ts';
import type { Fault } from './decode.ts';

/** Throws the declared code for an answer that is not good. What a function throws that judges it is its own mistake. */
export function refuseBad(good: Good, answer: HttpAnswer, fault: Fault): void {
  const word = typeof good === 'function' ? good(answer) : good.safeParse(answer.json()).success;
  if (word === true) return;
  const said = typeof word === 'string' ? { code: word } : word === false ? { code: 'answer_refused' as const } : word;
  const error = fault(said.code, 'with what its declaration does not take for a good answer');
  if (!('waitMs' in said) || said.waitMs === undefined) throw error;
  const { code, text, upstream } = error.failure;
  throw new CodedError(code, text, { nextDelayMs: said.waitMs, ...(upstream === undefined ? {} : { upstream }) });
}
