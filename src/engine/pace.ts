// What lives here: how often parks, recovery and watch look after things by themselves.
// Invariant: signals only bring a look forward; with all of them lost everything still happens within these times.
// Apart because tests shorten a week to seconds by these figures and by nothing else.

/** Times in ms. */
export interface Pace {
  /** How often a park looks after its row and its breaker, spread by ±20 %. */
  readonly recheckMs: number;
  /** The same while the control store is away. */
  readonly storeAwayMs: number;
  /** How often recovery looks while nothing is due. */
  readonly tickMaxMs: number;
  /** A run that was let go and has not gone after this long is told again. */
  readonly tellAgainMs: number;
  /** So long nobody has to ask about a held upstream before one run is sent to find out. */
  readonly unaskedMs: number;
  /** How long recovery stays after its work, for runs that park late. */
  readonly lingerMs: number;
  /** How often watch goes round. */
  readonly sweepMs: number;
}

/** A run that was let go and has not gone after so many ms is waited for no more: it was told three times, and looks by itself. */
export const lostMsOf = ({ tellAgainMs }: Pick<Pace, 'tellAgainMs'>): number => 3 * tellAgainMs;

export const defaultPace: Pace = {
  recheckMs: 10 * 60_000,
  storeAwayMs: 30_000,
  tickMaxMs: 60_000,
  tellAgainMs: 30_000,
  unaskedMs: 30_000,
  lingerMs: 5_000,
  sweepMs: 30_000,
};
