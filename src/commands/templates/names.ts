// What lives here: the names a new pipeline goes by in code.
// Invariant: derived from the pipeline's name alone, so that two templates never disagree.
// Apart because every template and the command that registers them need the same ones.

export interface Names {
  /** `web-orders`. */
  readonly name: string;
  /** `webOrders`. */
  readonly value: string;
  /** `WebOrders`. */
  readonly type: string;
  /** `web_orders`, for a table. */
  readonly table: string;
  /** `WEB_ORDERS`, for variables of the environment. */
  readonly variable: string;
}
