// What lives here: a failed call as its caller sees it.
// Invariant: named by the upstream's own codes; what another upstream or this house is to blame for stays as it is.
// Apart because what it then says about the upstream is pure, and stands in the model.
import { classify } from '../../model/classify.ts';
import { codes, CodedError } from '../../model/failure.ts';
import type { Upstream } from '../../model/upstream.ts';

/**
 * The failure as its caller sees it: by the upstream's own codes, and with its name. One of another upstream stays as it is, and so does one
 * of our own: no upstream is to blame for it, and what it says has to be done again must not be lost.
 */
export function named(error: unknown, key: string, declared: Upstream): CodedError {
  const failed = classify(error);
  if (error instanceof CodedError && failed.upstream !== undefined && failed.upstream !== key) return error;
  const code = declared.codes?.[failed.code] ?? failed.code;
  if (error instanceof CodedError && failed.fault === 'self' && code === failed.code) return error;
  const text = code !== failed.code && failed.text === codes[failed.code].says ? codes[code].says : failed.text;
  const shown = new CodedError(code, text, {
    cause: error,
    upstream: key,
    // Whether it happened was told by the phase of the call. Another code has a certainty of its own, but a doubt stays a doubt.
    ...(declared.undone?.includes(failed.code) === true
      ? { commit: 'no' }
      : code === failed.code || failed.commit === 'unknown'
        ? { commit: failed.commit }
        : {}),
    ...(failed.nextDelayMs === undefined ? {} : { nextDelayMs: failed.nextDelayMs }),
  });
  return failed.rule === undefined ? shown : Object.assign(shown, { failure: { ...shown.failure, rule: failed.rule } });
}
