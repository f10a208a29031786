// A motion linear in depth and across the lines, and the baseband warped by it
// (rtelasto/cpu/stretching/global_motion.py, rtelasto/cpu/stretching/block_motion.py).

// Keys' cubic convolution through four samples, t from the second of them.
HD float cubic(float s0, float s1, float s2, float s3, float t) {
    const float c1 = 0.5f * (s2 - s0);
    const float c2 = s0 - 2.5f * s1 + 2.0f * s2 - 0.5f * s3;
    const float c3 = 0.5f * (s3 - s0) + 1.5f * (s1 - s2);
    return s1 + t * (c1 + t * (c2 + t * c3));
}

// How one line of the warped post-compression baseband is read.
struct WarpedLine {
    bool outside, sideways, slanted;
    long long line[4];   // offsets of the four lines around the position, in points
    float weight[4];
    double position, drift;  // of a slanted line at point n: position + drift n, in lines
    double start, slope;  // displacement at point n, in points: start + slope n
    double cycles;        // of the carrier in a point
};

// Weights of cubic convolution between four lines, f from the second of them.
HD void line_weights(float f, float* weight) {
    weight[0] = 0.5f * (-f * f * f + 2.0f * f * f - f);
    weight[1] = 0.5f * (3.0f * f * f * f - 5.0f * f * f + 2.0f);
    weight[2] = 0.5f * (-3.0f * f * f * f + 4.0f * f * f + f);
    weight[3] = 0.5f * (f * f * f - f * f);
}

HD WarpedLine warped_line(const Work& w, const double* motion, int i) {
    const int last = (int)w.n_lines - 1;
    const double* axial = motion;
    const double* lateral = motion + 4;
    WarpedLine line;
    const double x = (i - 0.5 * last) / w.half_width;
    line.slanted = fabs(lateral[2]) >= UNMOVED_LINES;
    line.sideways = line.slanted || fabs(lateral[0]) + fabs(lateral[1]) >= UNMOVED_LINES;
    const double position = i + (line.sideways ? lateral[0] + lateral[1] * x : 0.0);
    const bool beside = !(position >= -0.5 && position <= last + 0.5);
    line.outside = i < 0 || i > last || (beside && !line.slanted);
    // A very large motion would overflow the integers below, which slanted lines and those outside do not use.
    const double inside = beside || line.outside ? 0.0 : position;
    const int base = (int)floor(inside);
    line_weights((float)(inside - base), line.weight);
    for (int k = 0; k < 4; ++k) line.line[k] = within(base - 1 + k, 0, last) * w.n_points;
    const double inverse = 1.0 / w.half_depth;
    line.slope = (axial[2] + axial[3] * x) * inverse;
    const double start = axial[0] + axial[1] * x + line.slope * (w.first_sample - w.middle);
    line.start = start / w.decimation;
    // The frame is read at its point m = n + start + slope n. Single precision is enough for a few lines.
    const double shear = lateral[2] * inverse;
    line.drift = (float)(shear * w.decimation) / (float)(1.0 + line.slope);
    line.position = position + shear * (w.first_sample - w.middle) - line.drift * line.start;
    line.cycles = w.cycles_per_sample * w.decimation;
    return line;
}

HD float across_lines(const Work& w, const WarpedLine& line, const float* plane, int n) {
    if (n < 0 || n >= w.n_points) return 0.0f;
    if (!line.sideways) return plane[line.line[1] + n];
    if (line.slanted) {
        const double position = line.position + line.drift * n;
        const int last = (int)w.n_lines - 1;
        if (!(position >= -0.5 && position <= last + 0.5)) return 0.0f;
        const int base = (int)floor(position);
        float weight[4], total = 0.0f;
        line_weights((float)(position - base), weight);
        for (int k = 0; k < 4; ++k)
            total += weight[k] * plane[within(base - 1 + k, 0, last) * w.n_points + n];
        return total;
    }
    return line.weight[0] * plane[line.line[0] + n] + line.weight[1] * plane[line.line[1] + n] +
           line.weight[2] * plane[line.line[2] + n] + line.weight[3] * plane[line.line[3] + n];
}

// Point n of a warped line, rotated back to the phase of the pre-compression frame; 0 outside.
HD void warped_point(const Work& w, const WarpedLine& line, const float* real, const float* imag,
                     float scale, int n, float* p, float* q) {
    *p = *q = 0.0f;
    if (line.outside || n < 0 || n >= w.n_points) return;
    const double displacement = line.start + line.slope * n;
    const double moved = n + displacement;
    if (!(moved >= 0.0 && moved < w.n_points - 1.0)) return;
    const int base = (int)moved;
    const float t = (float)(moved - base);
    float s[4], c[4];
    for (int k = 0; k < 4; ++k) {
        s[k] = scale * across_lines(w, line, real, base - 1 + k);
        c[k] = scale * across_lines(w, line, imag, base - 1 + k);
    }
    const float a = cubic(s[0], s[1], s[2], s[3], t), b = cubic(c[0], c[1], c[2], c[3], t);
    const double turns = line.cycles * displacement;
    float sine, cosine;
    turn((float)(turns - floor(turns)), &sine, &cosine);
    *p = a * cosine - b * sine;
    *q = a * sine + b * cosine;
}
