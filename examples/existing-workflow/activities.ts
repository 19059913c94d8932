// What lives here: activities of a plain Temporal project, as they were before Mendflow came.
// Invariant: this file is the same before and after; what changes is how one of them is called.
// Apart because activities touch the world, and workflows may not.
export interface Order {
  readonly id: string;
  readonly cents: number;
}

/** One day of orders from the shop. */
export async function fetchOrders(input: { from: string; day: string }): Promise<Order[]> {
  const response = await fetch(`${input.from}/orders?day=${input.day}`);
  if (!response.ok) throw Object.assign(new Error('The shop did not answer.'), { status: response.status });
  return (await response.json()) as Order[];
}

export async function sumOrders(orders: readonly Order[]): Promise<number> {
  return orders.reduce((sum, order) => sum + order.cents, 0);
}
