function bridge_send(endpoint, seconds, rate_hz, file)
%BRIDGE_SEND  Send 2608 x 128 int16 frames at absolute deadlines; write when and how long each call took.
%   Each line of the file: acquired_ns of the frame (monotonic clock), duration of the call in us.
rtelasto_mex('open', endpoint);
meta = struct('sampling_freq_hz', 40e6, 'center_freq_hz', 6.25e6, 'line_pitch_m', 3e-4, ...
    'sound_speed_m_s', 1540);
frames = cell(1, 8);
for k = 1:8
    frames{k} = int16(randi([-2000 2000], 2608, 128));
end
n = round(seconds * rate_hz);
took_us = zeros(n, 1);
at_s = zeros(n, 1);
begin = tic;
for i = 1:n
    left_s = (i - 1) / rate_hz - toc(begin);
    if left_s > 0
        pause(left_s);
    end
    at_s(i) = toc(begin);
    call = tic;
    rtelasto_mex('send', frames{mod(i, 8) + 1}, meta);
    took_us(i) = 1e6 * toc(call);
end
stats = rtelasto_mex('stats');
rtelasto_mex('close');
handle = fopen(file, 'w');
fprintf(handle, '%.6f %.1f\n', [at_s took_us]');
fclose(handle);
printf('%d %d %d %d\n', stats.sent, stats.unheard, stats.overflow, stats.failed);
end
