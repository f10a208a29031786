function send_paced(endpoint, n_frames, n_samples, n_lines, rate_hz, wait)
%SEND_PACED  Send frames at absolute deadlines, each sample known; print what the calls took.
% Four seconds of frames, so that a machine that is busy with other things loses none.
rtelasto_mex('open', endpoint, struct('send_hwm', 400));
meta = struct('sampling_freq_hz', 40e6, 'center_freq_hz', 6.25e6, 'line_pitch_m', 3e-4, ...
    'sound_speed_m_s', 1540);
base = reshape(mod(0:n_samples * n_lines - 1, 30011), n_samples, n_lines);
frames = cell(1, 16); % made before, so that making them is in no one's way
for k = 1:16
    frames{k} = int16(base + 131 * k);
end
if wait
    wait_for_subscriber();
end
took_s = zeros(1, n_frames);
begin = tic;
for i = 0:n_frames - 1
    left_s = i / rate_hz - toc(begin);
    if left_s > 0
        pause(left_s);
    end
    meta.frame_id = i;
    call = tic;
    rtelasto_mex('send', frames{mod(i, 16) + 1}, meta);
    took_s(i + 1) = toc(call);
end
stats = rtelasto_mex('stats');
if wait % open until our input ends: what is queued is still being sent
    try
        input('', 's');
    catch
    end
end
rtelasto_mex('close');
sorted = sort(1e6 * took_s);
printf('sent %d unheard %d overflow %d failed %d\n', stats.sent, stats.unheard, ...
    stats.overflow, stats.failed);
printf('send_us p50 %.0f p99 %.0f max %.0f over %.1f s\n', median(sorted), ...
    sorted(ceil(0.99 * n_frames)), sorted(end), toc(begin));
end
