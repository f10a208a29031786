// Access to the samples of an uploaded frame and to the frames in the ring.

HD float raw_sample(const Work& w, long long at) {
    return w.sample_is_float ? ((const float*)w.upload_samples)[at]
                             : (float)((const short*)w.upload_samples)[at];
}

HD float* ring_echoes(const Work& w, long long slot) {
    return w.ring_echoes + slot * w.n_lines * w.n_samples;
}

HD const float* ring_baseband(const Work& w, long long slot) {
    return w.ring_baseband + slot * 2 * w.n_lines * w.n_points;
}
