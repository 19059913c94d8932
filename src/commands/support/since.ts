// What lives here: how a person names a moment in the past.
// Invariant: a duration is counted back from now; everything else has to be a date or a moment with a zone, so that nobody means his own clock.
// Apart because filters and reports take it the same way.
import { inWords, parseDuration } from '../../model/duration.ts';
import { CommandError } from './exit-codes.ts';

/** `12 hours`, `2026-11-21`, `2026-11-21T20:00:00Z`. Throws `usage`. */
export function readSince(written: string, option = '--since'): Date {
  const agoMs = parseDuration(written);
  if (agoMs !== undefined && agoMs > 0 && agoMs < Date.now()) return new Date(Date.now() - agoMs);
  const at =
    /^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?$/.test(written) && isRealDay(written.slice(0, 10))
      ? Date.parse(written)
      : NaN;
  if (!Number.isNaN(at) && at <= Date.now()) return new Date(at);
  throw new CommandError(
    'usage',
    `${option} has to be a time that has passed, such as "12 hours", 2026-11-21 or 2026-11-21T20:00:00Z, and is "${written}".${
      Number.isNaN(at) ? '' : ` That is in ${inWords(at - Date.now())}.`
    } Nothing was changed.`,
  );
}

/** Date.parse takes the 31st of February for a day in March. */
function isRealDay(day: string): boolean {
  const at = new Date(day);
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(day);
}
