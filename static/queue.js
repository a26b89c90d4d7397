// Jobs wait here, so that at most `limit` run at once and one bad picture holds up no other.

export function createQueue(limit) {
  const waiting = [];
  let running = 0;

  function startNext() {
    while (running < limit && waiting.length > 0) {
      running += 1;
      waiting.shift()().finally(() => {
        running -= 1;
        startNext();
      });
    }
  }

  return (job) => {
    waiting.push(job);
    startNext();
  };
}
