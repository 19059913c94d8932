// What lives here: how long a breaker stays open, and what it remembers of earlier openings.
// Invariant: pure; a cooldown never exceeds its maximum, and a night of openings is outlived by calm, not counted for ever.
// Apart because a row of short outages has to cost more than one, and a long one years ago has to cost nothing.
import type { BreakerState, StateName } from './breaker.ts';
import type { BreakerSettings } from './upstream.ts';

/** Beyond that the factor alone exceeds every maximum. */
const DOUBLINGS_MAX = 30;

type Cooldowns = Pick<BreakerSettings, 'cooldownMs' | 'cooldownMaxMs'>;
type Remembered = Pick<BreakerState, 'state' | 'streak' | 'changedAt'> & { readonly settings: Cooldowns };

/** Without its jitter. */
export const cooldownMsOf = ({ cooldownMs, cooldownMaxMs }: Cooldowns, streak: number): number =>
  Math.min(cooldownMs * 2 ** Math.min(Math.max(streak - 1, 0), DOUBLINGS_MAX), cooldownMaxMs);

/** Of an opening at `now`, without its jitter. */
export const nextCooldownMs = (b: Remembered, now: number): number =>
  cooldownMsOf(b.settings, streakAfter(b, 'open', now));

/**
 * Openings that still count after a move. Each opening adds one, until the cooldown is at its maximum; a whole ramp takes one off, and so does
 * each longest cooldown that the breaker then stays closed.
 */
export function streakAfter(b: Remembered, to: StateName, now: number): number {
  if (to === 'closed') return Math.max(b.streak - 1, 0);
  if (to !== 'open') return b.streak;
  const calm = b.state === 'closed' ? Math.floor(Math.max(now - b.changedAt, 0) / b.settings.cooldownMaxMs) : 0;
  const left = Math.max(b.streak - calm, 0);
  return left > 0 && cooldownMsOf(b.settings, left) >= b.settings.cooldownMaxMs ? left : left + 1;
}
