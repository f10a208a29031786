// Raw RF samples as they come over the wire, and what is done with each before anything else.

HD float finite_or_zero(float value) { return fabsf(value) <= 3e38f ? value : 0.0f; }

// Sample `at` of an uploaded frame or of one in the ring.
HD float raw_sample(const Work& w, const void* samples, long long at) {
    return w.sample_is_float ? finite_or_zero(((const float*)samples)[at])
                             : (float)((const short*)samples)[at];
}

HD const void* ring_frame(const Work& w, long long slot) {
    return (const char*)w.ring_samples + slot * w.frame_bytes;
}

HD const float* ring_baseband(const Work& w, long long slot) {
    return w.ring_baseband + slot * 2 * w.n_lines * w.n_points;
}
