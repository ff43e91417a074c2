/** A clock that stands still until it is told to move. */
export function fakeClock(start: string) {
  let at = new Date(start);
  return {
    now: async () => at,
    advance(ms: number): void {
      at = new Date(at.getTime() + ms);
    },
    set(to: string): void {
      at = new Date(to);
    },
  };
}
