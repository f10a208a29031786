// The decimated complex baseband of a new frame in the ring (rtelasto/cpu/stretching/baseband.py).

struct DemodulateScratch {
    float p[CHUNK], q[CHUNK];
    double partial[SUM_PARTS];
};

// The filtered, mixed and decimated point n of one line.
HD void demodulated_point(const Work& w, const float* samples, int line, int n, float* p, float* q) {
    const int n_taps = (int)w.n_taps, n_samples = (int)w.n_samples;
    const int first = (int)w.decimation * n - (n_taps - (int)w.decimation) / 2;
    const long long start = (long long)line * n_samples;
    float in_phase = 0.0f, quadrature = 0.0f;
    for (int k = most(0, -first); k < least(n_taps, n_samples - first); ++k) {
        const float sample = samples[start + first + k];
        in_phase += sample * w.demodulator[k];
        quadrature += sample * w.demodulator[n_taps + k];
    }
    const float c = w.rotor[n], s = w.rotor[w.n_points + n];
    *p = in_phase * c - quadrature * s;
    *q = in_phase * s + quadrature * c;
}

// Grid: (chunks of points, lines).
HD void demodulate_block(Block b, const Work& w, int, DemodulateScratch& s) {
    const int line = b.y, first = b.x * CHUNK, n_points = (int)w.n_points;
    const int n = least(CHUNK, n_points - first);
    const long long slot = w.header->post_slot;
    float* real = w.ring_baseband + slot * 2 * w.n_lines * n_points + (long long)line * n_points;
    float* imag = real + w.n_lines * n_points;
    each(n, [&](int i) {
        demodulated_point(w, ring_echoes(w, slot), line, first + i, &s.p[i], &s.q[i]);
        real[first + i] = s.p[i];
        imag[first + i] = s.q[i];
    });
    sum_of(n, s.partial, [&](int i) {
        return (double)s.p[i] * s.p[i] + (double)s.q[i] * s.q[i];
    });
    const int n_chunks = (n_points + CHUNK - 1) / CHUNK;
    each(1, [&](int) { w.power[line * n_chunks + b.x] = s.partial[0]; });
}

struct EnergyScratch {
    double partial[SUM_PARTS];
};

// Energy of every block of the frame just demodulated. Grid: (axial blocks, lateral blocks).
HD void block_energy_block(Block b, const Work& w, int, EnergyScratch& s) {
    const int begin = (int)w.block_points[b.x], n = (int)w.block_points[b.x + 1] - begin;
    const int line = (int)w.block_lines[b.y], lines = (int)w.block_lines[b.y + 1] - line;
    const float* real = ring_baseband(w, w.header->post_slot);
    const float* imag = real + w.n_lines * w.n_points;
    sum_of(n * lines, s.partial, [&](int i) {
        const long long at = (line + i / n) * w.n_points + begin + i % n;
        return (double)real[at] * real[at] + (double)imag[at] * imag[at];
    });
    each(1, [&](int) { w.energy[b.y * w.n_axial + b.x] = (float)s.partial[0]; });
}

struct StatisticsScratch {
    double partial[SUM_PARTS];
    MiddleScratch energy;
};

// Scale to mean power 1 and the energy below which a block holds no echo. Grid: 1.
HD void frame_statistics_block(Block, const Work& w, int, StatisticsScratch& s) {
    const int n = (int)w.n_blocks;
    FrameStatistics* frame = w.ring_statistics + w.header->post_slot;
    sum_of((int)w.n_power, s.partial, [&](int i) { return w.power[i]; });
    const double energy = middle_of(n, s.energy, [&](int k) { return w.energy[k]; });
    each(1, [&](int) {
        const double power = s.partial[0], size = (double)w.n_lines * (double)w.n_points;
        const bool silent = !(power > 0.0 && power <= 1e300);
        const double scale = silent ? 0.0 : sqrt(size / power);
        const double median = energy * scale * scale;
        frame->scale = (float)scale;
        frame->floor = (float)(silent ? 1e-12 : fmax(SILENT_FRACTION * median, 1e-12));
    });
}
