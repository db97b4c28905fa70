// From the farm's samples to the points of the charts. Pure functions.

const MINUTE = 60;

const aged = (samples) => {
  const now = Date.parse(samples.at(-1).at);
  return samples.map((sample) => ({ ...sample, age: (now - Date.parse(sample.at)) / 1000 }));
};

/** How many waited, at each sample. */
export const waiting = (samples) => aged(samples).map(({ age, queued }) => [age, queued]);

/** Pictures finished in the minute before each sample. */
export function throughput(samples) {
  const all = aged(samples);
  let first = 0;
  let done = 0;
  return all.map((sample) => {
    done += sample.done;
    while (all[first].age - sample.age >= MINUTE) done -= all[first++].done;
    return [sample.age, done];
  });
}

export const sum = (samples, name) => samples.reduce((total, sample) => total + sample[name], 0);
