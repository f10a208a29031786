// Writes the echoes of an uploaded frame, without offset and hum, to the ring (rtelasto/cpu/echoes.py).

struct EchoScratch {
    // A chunk and the samples for the means at its ends; 0 where nothing was recorded.
    float value[SPAN], recorded[SPAN];
};

// Whether a sample is finite and not part of a run of equal samples too long for an echo.
HD bool is_recorded(const Work& w, long long line, int j) {
    const int n = (int)w.n_samples, longest = least((int)w.mean_samples, n);
    const float value = raw_sample(w, line + j);
    if (!(fabsf(value) <= 3e38f)) return false;
    int run = 1;
    for (int k = j - 1; k >= 0 && run < longest && raw_sample(w, line + k) == value; --k) ++run;
    for (int k = j + 1; k < n && run < longest && raw_sample(w, line + k) == value; ++k) ++run;
    return run < longest;
}

// Grid: (chunks of samples, lines).
HD void echoes_block(Block b, const Work& w, int, EchoScratch& s) {
    const int n_samples = (int)w.n_samples, half = (int)w.mean_samples, reach = half - 1;
    const int first = b.x * CHUNK, n = least(CHUNK, n_samples - first);
    const long long line = (long long)b.y * n_samples;
    float* out = ring_echoes(w, w.header->post_slot) + line + first;
    each(n + 2 * reach, [&](int i) {
        const int j = first - reach + i;
        const bool recorded = j >= 0 && j < n_samples && is_recorded(w, line, j);
        s.recorded[i] = recorded ? 1.0f : 0.0f;
        s.value[i] = recorded ? raw_sample(w, line + j) : 0.0f;
    });
    each(n, [&](int i) {
        float sum = 0.0f, weights = 0.0f;
        for (int k = -reach; k <= reach; ++k) {
            const float weight = (float)(half - (k < 0 ? -k : k));
            sum += weight * s.value[i + reach + k];
            weights += weight * s.recorded[i + reach + k];
        }
        const bool recorded = s.recorded[i + reach] != 0.0f;
        out[i] = recorded ? s.value[i + reach] - sum * (1.0f / weights) : 0.0f;
    });
}
